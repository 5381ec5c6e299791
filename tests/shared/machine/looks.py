"""How clients see jobs and lists: what a walk compares with the reference when it looks around."""

from __future__ import annotations

from shared.dead import dead_letters
from shared.views import backlog, open_jobs, page, stats, view
from tests.shared.machine.ground import Ground
from tests.shared.machine.reference_records import Job


class Looks(Ground):
    """Part of the walk."""

    def look_at_job(self, job: Job) -> None:
        """The job as its client sees it."""
        (found,) = self.api.run(view([job.id], inline_results=100, owner=job.owner))
        assert (found is None) == (not job.kept(self.now)), "an accepted job disappeared"
        if found is None:
            return
        assert found.view.counts == job.counts()
        states = {"waits": "queued", "held": "running", "ok": "succeeded", "bad": "failed", "gone": job.status}
        assert [one.status for one in found.view.results or ()] == [states[one.state] for one in job.pictures]

    def look_at_lists(self, owner: str) -> None:
        """An owner's jobs and the dead pictures of all, newest first; what waits and what is open, by model."""
        listed = [id for id, _ in self.api.run(page(before=None, count=100, owner=owner))]
        known = [job for job in self.jobs.jobs.values() if job.owner == owner]
        kept = [job for job in sorted(known, key=lambda job: (job.created_ms, job.id)) if job.kept(self.now)]
        ids = {job.id for job in kept}
        assert [id for id in listed if id in ids] == [job.id for job in reversed(kept)], "a job is in no list"
        behind, counters = self.api.run(backlog()), self.api.run(stats())
        for model in ("m", "n"):
            waiting, open_now = self.jobs.waiting(model=model), self.jobs.open_jobs(model=model)
            assert (behind[model].pictures if model in behind else 0) == waiting
            assert (behind[model].jobs if model in behind else 0) == sum(job.waiting > 0 for job in open_now)
            assert open_jobs(counters).get(model, 0) == len(open_now)
        dead = [(letter.job, letter.index) for _, letter in self.api.run(dead_letters(before=None, count=100))]
        died = [one for one in self.jobs.dead if self.jobs.kept(one[0], self.now)]
        assert dead == sorted(died, key=lambda one: (self.jobs.dead[one], f"{one[0]}/{one[1]}"), reverse=True)

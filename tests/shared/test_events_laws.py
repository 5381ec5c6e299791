"""Whatever clients, workers, the sweeper and the clock do to a job, its listeners see one story that the states allow.

The random walk of test_store_laws.py, with listeners that come, go and come back with nothing but an id. What may
follow what is written here once more, from the contract: queued, running, pictures, one end.
"""

from __future__ import annotations

import re

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from shared.events import START, Event, Position, news
from tests.shared.test_store_laws import StoreWalk

STORY = re.compile(r"queued( running( picture)*)?( succeeded| failed| canceled| expired)?")


class Listening(StoreWalk):
    """Two listeners of each job, that look at moments of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[tuple[str, int], list[Event]] = {}

    @rule(number=st.integers(0, 5), who=st.integers(0, 1), most=st.integers(1, 5))
    def listen(self, number: int, who: int, most: int) -> None:
        """One look, from the id of the event that this listener saw last."""
        job = f"job_{number:06d}"
        so_far = self.heard.setdefault((job, who), [])
        since = Position.read(str(so_far[-1].id)) if so_far else START
        assert since is not None
        (found,) = self.store.run(news([(job, since)], most=most))
        assert (found is None) == (job not in self.jobs)
        if found is None:
            return
        so_far += found.events
        assert STORY.fullmatch(" ".join(event.name for event in so_far)), "the states do not allow this"
        assert found.ended == (so_far[-1].name in ("succeeded", "failed", "canceled", "expired"))
        assert found.position == so_far[-1].id

    def teardown(self) -> None:
        """In the end both have heard the same, which is what the job says of itself."""
        super().teardown()
        for job, total in self.jobs.items():
            for who in (0, 1):
                for _ in range(total + 2):
                    self.listen(int(job[4:]), who, 5)
            events = self.heard[job, 0]
            assert events == self.heard[job, 1], "two listeners heard two stories"
            view = self.snapshot(job).view
            results = {one.index: one for one in view.results or () if one.status in ("succeeded", "failed")}
            pictures = [event.data for event in events if event.name == "picture"]
            assert {one.index: one for one in pictures} == results  # type: ignore[union-attr]
            assert len(pictures) == len(results), "a result was told twice"
            assert events[-1].name == view.status
            assert events[-1].data.model_dump()["counts"] == view.counts.model_dump()
            assert (events[1].name == "running") == (view.started_at is not None)


@pytest.mark.timeout(180)
def test_every_listener_hears_one_story(client: redis.Redis) -> None:
    walk = type("Walk", (Listening,), {"client": client})
    run_state_machine_as_test(
        walk,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,  # the seed of a failure
            suppress_health_check=list(HealthCheck),
        ),
    )

"""What those hear who listen to a job, as rules. They keep nothing but the id of the event that they saw last."""

from __future__ import annotations

import re
from itertools import groupby

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shared.events import START, Event, Position, StatusChange, news
from shared.schema import TERMINAL, PictureResult
from tests.shared.machine.ground import PICK, Ground
from tests.shared.machine.reference_records import Job

FIRST = re.compile(r"queued( running( picture)*)?( succeeded| failed| canceled| expired)?")
LATER = re.compile(r"queued( picture)*( running( picture)*)?( succeeded| failed| canceled| expired)?")
"""A round after a retry: results that stand are told to whoever has not heard them, before anything runs."""


class Listeners(Ground):
    """Part of the walk."""

    @precondition(lambda self: self.jobs.jobs)
    @rule(pick=PICK, who=st.integers(0, 1), most=st.integers(1, 5))
    def listen(self, pick: int, who: int, most: int) -> None:
        """One look, from the id of the event that this listener saw last."""
        job = self.job(pick)
        heard = self.heard.setdefault((job.id, who), [])
        self.hear(job, heard, most)

    def listen_from_the_start(self, job: Job) -> None:
        """A listener that comes anew hears of each result once, and of the end if it has come."""
        heard: list[Event] = []
        while self.hear(job, heard, 100):
            pass
        if job.kept(self.now):
            told = sorted(event.data.index for event in heard if isinstance(event.data, PictureResult))
            assert told == sorted(index for index in job.order if index is not None), "each result once"
            assert (heard[-1].name in TERMINAL) == (not job.open)

    def hear(self, job: Job, heard: list[Event], most: int) -> bool:
        """Adds what is new to what was heard. Returns whether there is more now."""
        since = Position.read(str(heard[-1].id)) if heard else START
        assert since is not None
        (found,) = self.api.run(news([(job.id, since)], most=most))
        assert (found is None) == (not job.kept(self.now))
        if found is None:
            return False
        heard += found.events
        assert found.owner == job.owner
        last = heard[-1].id
        assert (found.position.round, found.position.told) == (last.round, last.told)
        assert found.position.pictures >= last.pictures, "places of results that a retry took back are passed over"
        places = [(event.id.round, event.id.pictures) for event in heard]
        assert places == sorted(places), "a listener was sent back"
        for number, events in groupby(heard, key=lambda event: event.id.round):
            told = list(events)
            names = " ".join(event.name for event in told)
            assert (LATER if number else FIRST).fullmatch(names), "the states do not allow this"
            indexes = [event.data.index for event in told if isinstance(event.data, PictureResult)]
            assert len(indexes) == len(set(indexes)), "a result was told twice"
        for event in found.events:
            if isinstance(event.data, PictureResult):
                assert job.pictures[event.data.index].state == ("ok" if event.data.status == "succeeded" else "bad")
                assert len(job.pictures) == 1 or job.order[event.id.pictures - 1] == event.data.index
        assert found.ended == (not job.open and not found.more)
        if found.ended:
            assert heard[-1].name == job.status
            known = {event.data.index for event in heard if isinstance(event.data, PictureResult)}
            assert {index for index in job.order if index is not None} <= known, "a result was not told"
            assert isinstance(heard[-1].data, StatusChange)
            assert heard[-1].data.counts == job.counts()
        return found.more

"""What owners do with uploads that they keep for several jobs, as rules; and calls that cost one of an owner's rate."""

from __future__ import annotations

import math
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shared.errors import RateLimited, SpotterError, UploadQuotaExceeded
from shared.keys import UNLIMITED, Limits
from shared.store import Call
from shared.uploads import Kept, drop, hold, keep, kept
from tests.shared.machine.ground import OWNERS, PICK, Ground
from tests.shared.machine.reference_uploads import KeptUpload

T = TypeVar("T")

MOST_BYTES = 8000
QUOTAS = Limits(open_jobs=3, waiting=12)
RATES = {
    "default": Limits(rate=1, burst=3),
    "ann": Limits(rate=0.1, burst=2),
    "bob": Limits(rate=10, burst=1),
}
KINDS = st.sampled_from(["any", "any", "any", "quotas", "rate", "both"])


def limits_of(owner: str, kind: str) -> Limits:
    """What is agreed with an owner in this call."""
    if kind == "both":
        return RATES[owner].model_copy(update={"open_jobs": QUOTAS.open_jobs, "waiting": QUOTAS.waiting})
    return {"any": UNLIMITED, "quotas": QUOTAS, "rate": RATES[owner]}[kind]


class Uploads(Ground):
    """Part of the walk."""

    def charged(self, owner: str, limits: Limits, call: Call[T], why: type[Exception] | None) -> T | None:
        """Run what costs one of the owner's rate and, where that is to be had, is refused for `why`. None: refused."""
        reply: T | None = None
        self.refused_with: int | None = None  # the Retry-After of a refusal for `why`
        try:
            reply = self.api.run(call)
        except RateLimited as refused:
            self.buckets.refuse(owner, limits, refused.retry_after_s, self.now)
            self.told_again[owner] = self.now + 1000 * (refused.retry_after_s or 0)
            return None
        except SpotterError as refused:
            if type(refused) is not why:
                raise
            self.refused_with = refused.retry_after_s
        assert (reply is None) == (why is not None), "more than was agreed"
        self.buckets.spend(owner, limits, getattr(reply, "left", None), self.now)
        self.told_again.pop(owner, None)
        return reply

    @rule(
        owner=OWNERS, size=st.sampled_from([1, 1024, 1025, 3000, 7000]), ttl_s=st.sampled_from([60, 61, 3600, 86_400]),
        elsewhere=st.sampled_from([False, False, True]), bounded=st.booleans(), kind=st.sampled_from(["any", "rate"]),
    )  # fmt: skip
    def keep(self, owner: str, size: int, ttl_s: int, elsewhere: bool, bounded: bool, kind: str) -> None:
        self.send_upload(owner, size, ttl_s, elsewhere, MOST_BYTES if bounded else 0, limits_of(owner, kind))

    @rule(
        owner=OWNERS, size=st.sampled_from([1, 3000]), elsewhere=st.booleans(),
        late_ms=st.sampled_from([-1, 0, 1, 5000]), then=st.integers(0, 3),
    )  # fmt: skip
    def one_is_over(self, owner: str, size: int, elsewhere: bool, late_ms: int, then: int) -> None:
        """Of two the first one goes, and somebody comes about it just before or after that."""
        brief = self.send_upload(owner, size, 60, elsewhere, 0, UNLIMITED)
        self.send_upload(owner, 3000, 3600, elsewhere, 0, UNLIMITED)
        self.send_upload(owner, 3000, 60, elsewhere, MOST_BYTES, UNLIMITED)
        self.clock.advance(60_000 + late_ms)
        assert brief is not None
        if then == 0:
            self.held_for_a_job(owner, [brief.name], 90)
        elif then == 1:
            self.drop_upload(owner, brief)
        elif then == 2:
            self.send_upload(owner, 3000, 60, elsewhere, MOST_BYTES, UNLIMITED)
        self.look_at_uploads(owner)

    def send_upload(
        self, owner: str, size: int, ttl_s: int, elsewhere: bool, most: int, limits: Limits
    ) -> KeptUpload | None:
        new = KeptUpload(f"upk_{self.name():0>20}", owner, size, self.now + ttl_s * 1000, elsewhere)
        data = None if elsewhere else b"bytes"
        there = self.kept.of(owner, self.now)
        full = most > 0 and sum(one.counted for one in there) + new.counted > most
        call = keep(owner, new.name, data, size, ttl_s, most_bytes=most, limits=limits)
        found = self.charged(owner, limits, call, UploadQuotaExceeded if full else None)
        if found is None:
            if full and self.refused_with is not None:
                first_s = math.ceil((there[0].ends_ms - self.now) / 1000) if there else 1
                assert self.refused_with == first_s, "the first one goes at another time"
            return None
        assert found == Kept(new.name, size, new.ends_ms)
        self.kept.all[new.name] = new
        if elsewhere:
            self.jobs.elsewhere.add(new.name)
        else:
            self.jobs.uploads[new.name] = new.ends_ms
        return new

    @rule(owner=OWNERS, pauses_ms=st.lists(st.sampled_from([1, 400, 3000, 6001]), min_size=1, max_size=3))
    def send_too_fast(self, owner: str, pauses_ms: list[int]) -> None:
        """All that is to be had and one more, time and again."""
        for pause_ms in pauses_ms:
            while self.send_upload(owner, 1, 60, True, 0, RATES[owner]):
                pass
            self.clock.advance(pause_ms)
        self.send_upload(owner, 1, 60, True, 0, RATES[owner])

    @precondition(lambda self: self.told_again)
    @rule(pick=PICK, early_ms=st.sampled_from([0, 0, 1000]))
    def come_again_as_told(self, pick: int, early_ms: int) -> None:
        """Whoever waits as long as `Retry-After` says is not told to wait again; who comes earlier is no exception."""
        owner = sorted(self.told_again)[pick % len(self.told_again)]
        again_ms = self.told_again[owner]
        if self.now < again_ms - early_ms:
            self.clock.advance(again_ms - early_ms - self.now)
        sent = self.send_upload(owner, 1, 60, False, 0, RATES[owner])
        assert sent is not None or self.now < again_ms, "told to wait once more"

    def upload(self, pick: int) -> KeptUpload:
        """Any that was kept, also one whose time is over."""
        return list(self.kept.all.values())[pick % len(self.kept.all)]

    @precondition(lambda self: self.kept.all)
    @rule(pick=PICK, owner=OWNERS)
    def drop(self, pick: int, owner: str) -> None:
        """Gone at once, also for jobs that wait with it; and nobody else's."""
        one = self.upload(pick)
        self.drop_upload(one.owner if pick % 4 else owner, one)

    def drop_upload(self, whose: str, one: KeptUpload) -> None:
        there = self.kept.find(whose, one.name, self.now)
        assert self.api.run(drop(whose, one.name)) == (there is not None)
        if there:
            del self.kept.all[one.name]
            self.jobs.uploads.pop(one.name, None)
            self.jobs.elsewhere.discard(one.name)  # first of all: api/routes/uploads.py
            self.jobs.deleted.add(one.name)

    @precondition(lambda self: self.kept.all)
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), owner=OWNERS, ttl_s=st.sampled_from([1, 90, 5000]))
    def hold(self, picks: list[int], owner: str, ttl_s: int) -> None:
        """An API process that dies before it takes the job in has prolonged them all the same."""
        names = [self.upload(pick).name for pick in picks]
        self.held_for_a_job(self.upload(picks[0]).owner if picks[0] % 4 else owner, names, ttl_s)

    def held_for_a_job(self, owner: str, names: list[str], ttl_s: int) -> bool:
        """Whether a job of theirs may name all of these."""
        missing = [name for name in names if self.kept.find(owner, name, self.now) is None]
        assert self.api.run(hold(owner, names, ttl_s)) == missing, "an upload of somebody else, or one that is gone"
        there = [name for name in names if name not in missing]
        self.kept.prolong(owner, there, self.now + ttl_s * 1000, self.now)
        for name in there:
            self.jobs.keep_upload(name, self.now, ttl_s * 1000)
        return not missing

    def look_at_uploads(self, owner: str) -> None:
        """Each as its owner sees it, and as nobody else does."""
        for one in self.kept.all.values():
            there = self.kept.find(owner, one.name, self.now)
            told = Kept(one.name, one.size, one.ends_ms) if there else None
            assert self.api.run(kept(owner, one.name)) == told

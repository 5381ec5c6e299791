"""What the outbox promises about webhooks, written once more in plain Python: the reference for the scripts.

In come ends of jobs and what became of attempts, out goes which deliveries are to be made now. Written from
docs/decisions/0023-webhooks.md, not from the scripts. A delivery that is over and stands in neither list of its owner
is kept no longer, so what an owner has in the store is bounded. Knows neither server nor pictures.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from shared.outbox import GONE_S, KEPT_S, DueDelivery, State, endpoint_of
from tests.shared.machine.reference_log import Newest
from tests.shared.machine.reference_records import End

AT_ONCE, AT_ONCE_IN_TROUBLE, TROUBLE_MS = 8, 2, 60_000
AGAIN_MS = 10_000


@dataclass(eq=False)
class Delivery:
    """One event for one address. Pending ones are due at `due_ms`; one in hand has that for the end of its lease.

    `round`: redeliveries so far, after `era`, which tells this delivery from one of an earlier job of the same id.
    `unlisted`: it was over when it left the last list that it stood in.
    """

    name: str
    job: str
    owner: str
    event: str
    url: str
    at_ms: int
    due_ms: int
    era: int = 0
    state: State = "pending"
    round: int = 0
    tries: int = 0
    made: int = 0
    hand_ms: int = 0
    asked_ms: int | None = None
    over_ms: int | None = None
    unlisted: bool = False

    @property
    def endpoint(self) -> str:
        return endpoint_of(self.url)

    def kept(self, now_ms: int) -> bool:
        return not self.unlisted and (self.over_ms is None or now_ms <= self.over_ms + KEPT_S * 1000)


class Outbox:
    """Every delivery that there ever was, by its id."""

    def __init__(self) -> None:
        self.deliveries: dict[str, Delivery] = {}
        self.trouble: dict[str, int] = {}
        self.gone: dict[tuple[str, str], int] = {}
        self.over: Counter[str] = Counter()
        self.log: defaultdict[str, Newest] = defaultdict(Newest)
        self.missing: defaultdict[str, Newest] = defaultdict(Newest)

    def tell(self, end: End) -> None:
        """The first end of a job has its name from the event alone, a later one has a number."""
        job = end.job
        name = f"{job.id}.{end.event}" + (f".{end.round + 1}" if end.round else "")
        assert name not in self.deliveries, "an event under the id of another one"
        self.deliveries[name] = Delivery(name, job.id, job.owner, end.event, job.url, end.at_ms, end.at_ms, job.era)
        self._left(self.log[job.owner].add(name, end.at_ms, end.at_ms), end.at_ms)

    def _left(self, name: str | None, now_ms: int) -> None:
        """A name left one of its owner's lists."""
        one = self.deliveries.get(name or "")
        if one and one.over_ms is not None:
            listed = self.log[one.owner].at(now_ms).keys() | self.missing[one.owner].at(now_ms).keys()
            one.unlisted = one.name not in listed

    def drop(self, job: str, now_ms: int) -> None:
        """Nobody is told of a job of this id any more."""
        for one in [one for one in self.deliveries.values() if one.job == job]:
            del self.deliveries[one.name]
            if one.kept(now_ms):
                self.log[one.owner].names.pop(one.name, None)
                self.missing[one.owner].names.pop(one.name, None)

    def pending(self, endpoint: str | None = None) -> list[Delivery]:
        """In the order in which they are due."""
        found = (one for one in self.deliveries.values() if one.state == "pending")
        there = [one for one in found if endpoint is None or one.endpoint == endpoint]
        return sorted(there, key=lambda one: (one.due_ms, one.name))

    def in_hand(self, endpoint: str, now_ms: int) -> int:
        return sum(one.hand_ms > now_ms for one in self.pending(endpoint))

    def free(self, endpoint: str, now_ms: int) -> int:
        """How many more attempts may begin there now."""
        most = AT_ONCE_IN_TROUBLE if now_ms <= self.trouble.get(endpoint, 0) else AT_ONCE
        return most - self.in_hand(endpoint, now_ms)

    def take(self, endpoints: Iterable[str], most: int, lease_ms: int, now_ms: int) -> list[Delivery]:
        """What is to be tried now; `endpoints` are those that are to be looked at, in that order."""
        taken: list[Delivery] = []
        for endpoint in endpoints:
            free = self.free(endpoint, now_ms)
            for one in self.pending(endpoint):
                if one.due_ms > now_ms or free <= 0 or len(taken) == most:
                    break
                if one.asked_ms is None and self.gone.get((one.owner, one.url), 0) > now_ms:
                    self._close(one, "disabled", now_ms)
                    continue
                one.due_ms = one.hand_ms = now_ms + lease_ms
                taken.append(one)
                free -= 1
        return taken

    def settle(
        self, one: Delivery, due: DueDelivery, state: State, next_ms: int | None, because: str, now_ms: int
    ) -> int:
        """What became of the attempt `due` of `one`. Returns the attempts made so far; 0 where it is no longer kept."""
        if self.deliveries.get(one.name) is not one or not one.kept(now_ms):
            return 0
        if state == "delivered":
            self.trouble.pop(one.endpoint, None)
            self.gone.pop((one.owner, one.url), None)
        elif because == "trouble":
            self.trouble[one.endpoint] = now_ms + TROUBLE_MS
        elif because == "gone":
            self.gone[one.owner, one.url] = now_ms + GONE_S * 1000
        one.made += 1
        if self._decides(one, due, state):
            one.tries += 1
            one.hand_ms = 0
            if next_ms is None:
                self._close(one, state, now_ms)
            else:
                one.due_ms = now_ms + next_ms
        return one.made

    @staticmethod
    def _decides(one: Delivery, due: DueDelivery, state: State) -> bool:
        """Whether the attempt's outcome is that of the delivery. Not where somebody asked for it again since, and not
        where another attempt, taken after this one's lease, was settled first; unless this one was received.
        """
        if one.era + one.round != due.round:
            return False
        if state == "delivered":
            return one.state != "delivered"
        return one.state == "pending" and one.tries == due.tries

    def send_again(self, one: Delivery, now_ms: int) -> None:
        one.round += 1
        one.state, one.tries, one.due_ms, one.hand_ms = "pending", 0, now_ms, 0
        one.asked_ms, one.over_ms = now_ms, None
        self.missing[one.owner].names.pop(one.name, None)

    def listed(self, owner: str, state: State | None, now_ms: int) -> list[Delivery]:
        """As the owner sees them, newest event first."""
        names = (self.missing if state in ("failed", "disabled") else self.log)[owner].newest_first(now_ms)
        found = [self.deliveries[name] for name in names if name in self.deliveries]
        return [one for one in found if one.kept(now_ms) and state in (None, one.state)]

    def _close(self, one: Delivery, state: State, now_ms: int) -> None:
        one.state, one.hand_ms, one.over_ms = state, 0, now_ms
        self.over[f"webhooks:{state}"] += 1
        if state == "delivered":
            self.missing[one.owner].names.pop(one.name, None)
            self._left(one.name, now_ms)
        else:
            self._left(self.missing[one.owner].add(one.name, one.at_ms, now_ms), now_ms)

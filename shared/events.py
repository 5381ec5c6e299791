"""What happened to a job, in order, from any place on: `queued`, `running`, each picture with its result, the end.

Comes from the job's record alone, so every process tells the same, event by event. A listener keeps nothing but its
`Position`, and whoever has one goes on from there. Knows no HTTP. Why it is so: docs/decisions/0020-event-ids.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.schema import TERMINAL, Counts, PictureResult, Status, Strict, rfc3339
from shared.store import Call

MOST_PICTURES = 200
"""Of one job in one look."""
MOST_BYTES = 65_536
"""Of results in one look, all its jobs together; beyond that one picture of each job. A listener that does not read
holds about as much."""

EventName = Literal["queued", "running", "picture", "succeeded", "failed", "canceled", "expired"]
Told = Literal["-", "q", "r", "e"]

_WRITTEN = re.compile(r"([0-9]{1,9})-([0-9]{1,9})-([qre])", re.ASCII)


@dataclass(frozen=True)
class Position:
    """How far a listener is. Written `<round>-<pictures>-<told>`, which is the id of the event that it saw last.

    Attributes:
        round: how often the job had been tried again as a whole.
        pictures: so many places of the order in which pictures got their results.
        told: the last of queued (q), running (r) and the end (e) of that round; `-` before the first event.
    """

    round: int = 0
    pictures: int = 0
    told: Told = "-"

    def __str__(self) -> str:
        return f"{self.round}-{self.pictures}-{self.told}"

    @classmethod
    def read(cls, text: str) -> Position | None:
        """From an event's id; None when it is none of ours."""
        found = _WRITTEN.fullmatch(text)
        return cls(int(found[1]), int(found[2]), found[3]) if found else None  # type: ignore[arg-type]


START = Position()


class StatusChange(Strict):
    """What the events other than `picture` tell. `total`: pictures; `counts` come with the end."""

    id: str
    status: Status
    at: str
    total: int
    counts: Counts | None = None


@dataclass(frozen=True)
class Event:
    """One thing that happened. `id` is the position of a listener who has seen it."""

    id: Position
    name: EventName
    data: StatusChange | PictureResult


@dataclass(frozen=True)
class News:
    """What a listener has not seen yet, or the first part of it.

    Attributes:
        owner: whose job it is.
        position: of a listener who has seen `events`.
        more: there are more of them now.
        ended: nothing will come after these.
    """

    owner: str
    events: tuple[Event, ...]
    position: Position
    more: bool
    ended: bool


def news(
    asked: Sequence[tuple[str, Position]], *, most: int = MOST_PICTURES, most_bytes: int = MOST_BYTES
) -> Call[list[News | None]]:
    """What happened to each job since the position beside it; None for jobs that are not (or no longer) there.

    A position that the job never had (a store that lost its last moments, somebody's invention) reads as the start:
    then events come again rather than not at all.
    """
    flat = [part for job, seen in asked for part in (job, seen.round, seen.pictures)]

    def read(reply: list[Any]) -> list[News | None]:
        return [_news(job, seen, row) if row else None for (job, seen), row in zip(asked, reply, strict=True)]

    return Call("events", (most, most_bytes, *flat), read)


def _news(job: str, seen: Position, row: list[Any]) -> News:
    owner, status_raw, queued, started, finished, total, *ends, round_, lost, place, pictures, more, results = row
    status: Status = status_raw.decode()
    told: Told = "-" if lost or seen.round != round_ else seen.told
    events = []
    if told == "-":
        told = "q"
        change = StatusChange(id=job, status="queued", at=_time(queued), total=total)
        events.append(Event(Position(round_, place, told), "queued", change))
    if started is not None and told == "q":
        told = "r"
        change = StatusChange(id=job, status="running", at=_time(started), total=total)
        events.append(Event(Position(round_, place, told), "running", change))
    for place, text in results:
        events.append(Event(Position(round_, place, told), "picture", PictureResult.model_validate_json(text)))
    final = status in TERMINAL and not more
    if final and told != "e":
        told = "e"
        counts = _counts(status, total, *map(int, ends))
        change = StatusChange(id=job, status=status, at=_time(finished), total=total, counts=counts)
        events.append(Event(Position(round_, pictures, told), status, change))
    return News(owner.decode(), tuple(events), Position(round_, pictures, told), bool(more), final)


def _counts(status: Status, total: int, ok: int, bad: int, gone: int) -> Counts:
    return Counts(
        total=total,
        queued=0,
        running=0,
        succeeded=ok,
        failed=bad,
        canceled=gone if status == "canceled" else 0,
        expired=gone if status == "expired" else 0,
    )


def _time(epoch_ms: bytes) -> str:
    return rfc3339(int(epoch_ms)) or ""

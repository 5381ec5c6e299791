"""A job's events as they happen: the service's stream in, events out, each once, over as many connections as needed.

Server-Sent Events (WHATWG HTML, 9.2), as far as the service writes them. Knows the HTTP contract, and no command.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spotter.connection import Connection, lines
from spotter.errors import AWAY, SpotterApiError, SpotterTimeout, SpotterUnreachable
from spotter.job import TERMINAL, Json, Picture

PAUSE_S = 2.0
"""Before the next connection, as the service's own `retry:` has it."""
MOST_SILENCE_S = 40.0
"""Without a byte; the service writes at least a comment every 15 s."""
SHORTEST_S = 0.1


@dataclass(frozen=True)
class Event:
    """Something that became of a job.

    Attributes:
        name: `queued`, `running`, `picture`, `succeeded`, `failed`, `canceled` or `expired`.
        id: the event's place in the job's story: going on behind it repeats nothing.
        data: `status`, `at`, `total` and `counts` of the job; of `picture`: what `results` has of it.
    """

    name: str
    id: str
    data: Json

    @property
    def last(self) -> bool:
        """Whether the job has ended with it."""
        return self.name in TERMINAL

    @property
    def picture(self) -> Picture | None:
        """The picture that it tells of, if it does."""
        return Picture.from_json(self.data) if self.name == "picture" else None


def events(heard: Iterable[bytes]) -> Iterator[Event | None]:
    """Lines of a stream -> its events; None for each line that ends none, so that a reader can look at the time."""
    fields: dict[str, str] = {}
    for line in heard:
        if line == b"" and "event" in fields:
            yield Event(fields["event"], fields.get("id", ""), json.loads(fields.get("data", "null")))
            fields = {}
            continue
        name, _, value = line.decode().partition(":")
        if name in ("event", "id", "data"):
            fields[name] = value.removeprefix(" ")
        yield None


def follow(connection: Connection, path: str, after: str, timeout_s: float) -> Iterator[Event]:
    """Every event behind `after` ('': from the start), until the job has ended. Broken connections are made anew.

    Raises:
        SpotterTimeout: it has not ended within `timeout_s` seconds.
        SpotterApiError: there is no such job.
        SpotterUnreachable: the service was still away at the end of the time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        pause_s, answered = PAUSE_S, False
        try:
            headers = {"Last-Event-ID": after} if after else {}
            silence_s = min(MOST_SILENCE_S, max(SHORTEST_S, deadline - time.monotonic()))
            with connection.stream("GET", path, silence_s=silence_s, headers=headers) as response:
                answered = True
                for event in events(lines(response)):
                    if event:
                        after = event.id
                        yield event
                        if event.last:
                            return
                    if time.monotonic() >= deadline:
                        break
                if response.status_code == 204:  # `after` was the end
                    return
        except SpotterUnreachable:
            if time.monotonic() >= deadline and not answered:
                raise
        except SpotterApiError as error:
            if error.status not in AWAY or time.monotonic() >= deadline:
                raise
            pause_s = error.retry_after_s or PAUSE_S
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise SpotterTimeout(f"The job has not ended within {timeout_s:g} s; it goes on.")
        time.sleep(min(pause_s, left_s))

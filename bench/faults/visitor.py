"""A client of a soak run: it sends jobs, follows each to its end, and knows which answers are right.

Every 202 goes to the ledger. An end is waited for by looking again and again, by a long-poll, or by the stream of
events. What a client wants done is said in errands.py.
"""

from __future__ import annotations

import io
import random
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from bench.faults.client import Answer, Client
from bench.faults.ledger import Ledger
from bench.faults.watch import FINAL

BOUNDARY = "soak-form-boundary"
SIZES = ((48, 36, "PNG"), (320, 240, "JPEG"), (1280, 960, "JPEG"))
END_S = 60.0
"""From the 202 to a final state."""
SUCCEEDED = frozenset({"succeeded"})


class Wrong(Exception):
    """An answer, or a job's end, that should not have been."""


@dataclass
class Notes:
    """What all errands of a run found, thread-safe.

    Attributes:
        ended: final status by job.
        told: events by the `webhook-id` that they must come under.
        done: errands by kind.
        keys: `Idempotency-Key`s that the service must still know.
        wrong: what should not have been, in words.
    """

    ended: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    keys: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Visitor:
    """One client on one errand.

    Args:
        known: bytes of pictures that many send.
        picture_url, dead_url, hook_url: where pictures are, where nobody is, and where webhooks go.
    """

    def __init__(
        self, client: Client, ledger: Ledger, notes: Notes, dice: random.Random, name: str, *,
        known: list[bytes], picture_url: Callable[[int], str], dead_url: str, hook_url: str, key: str,
    ) -> None:  # fmt: skip
        self._client, self._ledger, self.notes, self.dice, self.name = client, ledger, notes, dice, name
        self._known, self._url, self.dead_url, self.hook_url, self.key = known, picture_url, dead_url, hook_url, key

    # -- what goes in -------------------------------------------------------------------------------------------------

    def picture(self) -> bytes:
        """A picture that nobody else has, 2 to 30 kB."""
        width, height, kind = self.dice.choice(SIZES)
        small = Image.frombytes("RGB", (16, 12), self.dice.randbytes(16 * 12 * 3))
        out = io.BytesIO()
        small.resize((width, height)).save(out, kind)
        return out.getvalue()

    def known_picture(self) -> bytes:
        """A picture that others send as well."""
        return self.dice.choice(self._known)

    def url(self) -> str:
        """Of a picture."""
        return self._url(self.dice.randrange(1 << 30))

    def urls(self, least: int, most: int) -> list[dict[str, str]]:
        """The pictures of a bulk job."""
        return [{"url": self.url(), "id": f"p{k}"} for k in range(self.dice.randint(least, most))]

    # -- requests -----------------------------------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, *,
        right: Collection[int] = (200,),
    ) -> Answer:  # fmt: skip
        """One request. Raises Wrong: its status is not one of the `right` ones; NoAnswer."""
        answer = self._client.ask(method, path, body, headers)
        if answer.status not in right:
            shape = "/".join("ID" if part.startswith(("job_", "hook_")) else part for part in path.split("/"))
            raise Wrong(f"{method} {shape.partition('?')[0]} {answer.status}: {answer.body[:120]!r}")
        return answer

    def post(self, body: object, kind: str = "", query: str = "", **headers: str) -> str:
        """Send a job. Its id."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        told |= {"Content-Type": kind} if kind else {}
        job = str(self.ask("POST", f"/jobs{query}", body, told, right=(202,)).json()["id"])
        self._ledger.add(job, self.name)
        return job

    def promised(self, job: str) -> None:
        """A job was answered with its id by another call than `post`."""
        self._ledger.add(job, self.name)

    def pause(self, most_s: float) -> None:
        """Some time passes, without a connection."""
        self._client.close()
        time.sleep(self.dice.uniform(0, most_s))

    def leave(self) -> None:
        """Done."""
        self._client.close()

    # -- to the end ---------------------------------------------------------------------------------------------------

    def end(self, job: str, right: Collection[str] = SUCCEEDED) -> dict[str, Any]:
        """The job at its end, however this client likes to wait for it; some look again later. Raises Wrong."""
        self.dice.choice((self._look_again, self._wait, self._listen))(job)
        answer = self.ask("GET", f"/jobs/{job}")
        seen: dict[str, Any] = answer.json()
        if seen["status"] not in right:
            raise Wrong(f"{self.name.partition('-')[0]} ended as {seen['status']}: {str(seen['results'])[:200]}")
        with self.notes.lock:
            self.notes.ended[job] = seen["status"]
        if self.dice.random() < 0.2:
            self.pause(4)
            if self.ask("GET", f"/jobs/{job}").body != answer.body:
                raise Wrong("a final state changed")
        return seen

    def _look_again(self, job: str) -> None:
        self._until_final(job, "", 2.0)

    def _wait(self, job: str) -> None:
        self._until_final(job, "?wait=10", 0.0)

    def _until_final(self, job: str, query: str, pause_s: float) -> None:
        deadline = time.monotonic() + END_S
        while self.ask("GET", f"/jobs/{job}{query}").json()["status"] not in FINAL:
            if time.monotonic() > deadline:
                raise Wrong("a job did not end")
            if pause_s:
                self.pause(pause_s)

    def _listen(self, job: str) -> None:
        lines = self.ask("GET", f"/jobs/{job}/events", right=(200, 204)).body.decode().splitlines()
        events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
        if not events or events[-1] not in FINAL:
            raise Wrong(f"a stream ended after {events[-1:]}")

    def to_be_told(self, job: str, status: str) -> None:
        """A webhook must come of this end."""
        with self.notes.lock:
            self.notes.told.add(f"{job}.job.{status}")


def zipped(pictures: list[bytes]) -> bytes:
    """An archive of these."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for number, data in enumerate(pictures):
            made.writestr(f"shelf/{number}.png", data)
    return out.getvalue()


def form(files: list[tuple[str, bytes]], fields: Mapping[str, str]) -> bytes:
    """A multipart body with `BOUNDARY`: (field name, bytes) of each file, and plain fields."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for number, (name, data) in enumerate(files):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{number}.png"\r\n'
        parts.append(f"{head}Content-Type: image/png\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FORM = f"multipart/form-data; boundary={BOUNDARY}"

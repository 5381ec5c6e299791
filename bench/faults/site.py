"""Where the pictures of a fault run come from: a small HTTP server that takes its time and notes every fetch.

Slow pictures fill the workers' hands without filling the cores: a kill then always finds work in progress. And a fetch
is the evidence, from outside the service, that a worker has begun with a picture.
"""

from __future__ import annotations

import io
import random
import threading
import time
from collections import defaultdict
from types import TracebackType

from PIL import Image

from bench.pictures import PictureServer

OPEN_NETWORK = "127.0.0.1/32"
"""What `SPOTTER_FETCH_ALLOW` must hold for these pictures."""


class Site:
    """`with Site(random, 0.1, 0.5) as site:` serves `site.url(n)` for every n, each after 0.1 to 0.5 s."""

    def __init__(self, chance: random.Random, least_s: float = 0.0, most_s: float = 0.0) -> None:
        self._chance, self._least_s, self._most_s = chance, least_s, most_s
        self._lock = threading.Lock()
        self._fetched: dict[int, list[float]] = defaultdict(list)
        self._server = PictureServer(_picture(), self._asked)

    def __enter__(self) -> Site:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def url(self, number: int) -> str:
        """Of picture `number`."""
        return f"http://127.0.0.1:{self._server.port}/{number}.png"

    def fetched(self) -> dict[int, list[float]]:
        """Epoch seconds of every fetch, by picture, oldest first."""
        with self._lock:
            return {number: list(times) for number, times in self._fetched.items()}

    def since(self, at: float) -> list[float]:
        """Epoch seconds of the fetches after `at`, oldest first."""
        with self._lock:
            return sorted(one for times in self._fetched.values() for one in times if one > at)

    def _asked(self, path: str) -> float:
        number = int(path.removeprefix("/").removesuffix(".png"))
        with self._lock:
            self._fetched[number].append(time.time())
            return self._chance.uniform(self._least_s, self._most_s)


def _picture() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((48, 36), 60).convert("RGB").save(out, "PNG")
    return out.getvalue()

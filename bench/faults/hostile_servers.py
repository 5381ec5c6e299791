"""Hostile servers: pictures are fetched from, and webhooks sent to, servers that do everything wrong that HTTP allows.

Through the worker's own client, in this process, several at a time. Each attempt must end within its deadline and a
second, in one of the coarse errors, and with nothing of what the server said in it.
"""

from __future__ import annotations

import argparse
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_network

from bench.arguments import say
from bench.faults.bad_servers import UPSTREAM, BadServer, behaviours, handshakes
from bench.faults.scenario import Row, chance, conclude, parser
from shared.errors import SourceError
from worker.egress import Egress

MAX_BYTES = 1_000_000
AT_A_TIME = 12
FINE_FOR_PICTURES = frozenset({"length too short", "length and chunks", "folded headers", "line feed in a header"})
"""A body is cut at its length, and headers may be folded: these come to an end as a picture would."""


@dataclass(frozen=True)
class Ended:
    """One attempt: against what, `get` or `post`, in which code (`fetched`, or a status), after how many seconds."""

    name: str
    way: str
    code: str
    seconds: float
    told: str


def attempt(name: str, way: str, call: Callable[[], str]) -> Ended:
    """An exception that is no SourceError is an outcome too: the code `escaped`."""
    start = time.monotonic()
    try:
        code, told = call(), ""
    except SourceError as error:
        code, told = error.code, error.detail
    except Exception as error:
        code, told = "escaped", repr(error)
    return Ended(name, way, code, time.monotonic() - start, told)


def stuck_resolver(release: threading.Event) -> Callable[..., list[tuple[int, int, int, str, tuple[str, int]]]]:
    """A name server that never answers."""

    def resolve(host: str, port: int, *_: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        release.wait(60)
        return []

    return resolve


def run(asked: argparse.Namespace) -> Row:
    """Each behaviour `rounds` times for a picture and for a webhook, in an order by chance."""
    allow = [ip_network("127.0.0.0/8")]
    egress = Egress(timeout_s=asked.deadline, redirects=3, allow=allow)
    release, calls = threading.Event(), list[tuple[str, str, Callable[[], str]]]()

    def add(name: str, url: str, client: Egress = egress) -> None:
        def get() -> str:
            client.get(url, max_bytes=MAX_BYTES)
            return "fetched"

        def post() -> str:
            return str(client.post(url, b"{}" * 500, {}, timeout_s=asked.deadline).status)

        calls.extend([(name, "get", get), (name, "post", post)])

    with ExitStack() as stack:
        for name, behaviour in behaviours().items():
            add(name, f"http://127.0.0.1:{stack.enter_context(BadServer(behaviour)).port}/a.jpg")
        for name, behaviour in handshakes().items():
            add(name, f"https://127.0.0.1:{stack.enter_context(BadServer(behaviour, reads=False)).port}/a.jpg")
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # the kernel drops the SYNs of whoever comes after these
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        add("accepts nothing", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        black_holes = [f"127.0.0.{number}" for number in range(100, 140)]
        many = Egress(timeout_s=asked.deadline, redirects=3, allow=allow, resolver=lambda host, port, *rest: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in black_holes])  # fmt: skip
        add("forty addresses", f"http://many.example:{silent.getsockname()[1]}/", many)
        slow = Egress(timeout_s=asked.deadline, redirects=3, resolver=stuck_resolver(release))
        add("name server says nothing", "http://slow.example/", slow)
        ordered = calls * asked.rounds
        chance(asked.seed, "order").shuffle(ordered)
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            ended = list(pool.map(lambda one: attempt(*one), ordered))
        release.set()
    late = [one for one in ended if one.seconds > asked.deadline + 1]
    escaped = [one for one in ended if one.code == "escaped"]
    telling = [one for one in ended if UPSTREAM.decode() in one.told or "127.0.0" in one.told]
    taken = {one.name for one in ended if one.way == "get" and one.code == "fetched"} - FINE_FOR_PICTURES
    for one in [*late, *escaped, *telling]:
        say(f"{one.name}, {one.way}: {one.code} after {one.seconds:.2f} s: {one.told}")
    say(f"taken for pictures: {sorted(taken)}")
    slowest = max(ended, key=lambda one: one.seconds)
    return Row(
        load=f"{len(ended):,} attempts against {len(calls) // 2} servers, deadline {asked.deadline:g} s",
        fault="slow, endless, lying, compressed, oversized, broken off, stalled in TLS; names and SYNs without answer",
        reach="each ends within its deadline + 1 s, in a coarse error",
        measured={
            "late": len(late), "slowest s": round(slowest.seconds, 2), "slowest": f"{slowest.name} ({slowest.way})",
            "errors outside the tree": len(escaped), "errors that tell": len(telling),
            "taken for pictures": len(taken),
            "pictures": dict(Counter(one.code for one in ended if one.way == "get")),
            "webhooks": dict(Counter(one.code for one in ended if one.way == "post")),
        },
        held=not (late or escaped or telling or taken),
    )  # fmt: skip


def main() -> None:
    """The command line."""
    conclude(run, parser(__doc__, {"deadline": 3.0, "rounds": 4}, {"deadline": 0.7, "rounds": 1}).read())


if __name__ == "__main__":
    main()

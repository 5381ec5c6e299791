"""Addresses: pictures and webhooks are sent after forbidden addresses in every disguise, and every connect is recorded.

Through the worker's own client, in this process. An audit hook of the interpreter sees each connect before the kernel
does and breaks it off, unless it goes to a server of this bench: nothing leaves the machine. Literal addresses, names
that resolve to them, redirects to them, and a name server that changes its answers between look-ups.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from threading import Thread
from typing import Any

from ssrfguard.resolvers import UdpResolver

from bench.arguments import say
from bench.faults.address_forms import FORBIDDEN, PUBLIC, Address, forbidden, samples, urls
from bench.faults.name_server import NameServer
from bench.faults.scenario import Row, chance, conclude, parser
from shared.errors import AddressForbidden, SourceError
from worker.egress import Egress
from worker.webhooks import deliver

SECRET = "whsec_" + "c3BvdHRlci1iZW5jaC1zZWNyZXQtb2YtMzItYnl0ZXM="
OWN = "127.0.0.1"
"""Where this bench's servers are; the one address that the client may reach although it is closed."""
CODES = (301, 302, 303, 307, 308)


class Connects:
    """Every address that a socket of this process is told to connect to. There is one, for a hook cannot be removed."""

    def __init__(self) -> None:
        self.ours: set[int] = set()
        self.seen: list[str] = []
        self.broken_off: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event != "socket.connect":
            return
        host, port = args[1][:2]
        if host == OWN and port in self.ours:
            return
        self.seen.append(host)
        if forbidden(host):
            self.broken_off.append(f"{host}:{port}")
        raise ConnectionRefusedError

    def take(self) -> list[str]:
        """Those since the last call."""
        seen, self.seen = self.seen, []
        return seen


class Names:
    """Stands in for the platform's resolver: names of this bench, and numbers in every form that `inet_aton` reads."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}

    def __call__(
        self, host: str, port: int, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        numbers = self.known.get(host.lower().rstrip("."), [host])
        return [
            answer
            for number in numbers
            for answer in socket.getaddrinfo(number, port, family, kind, proto, flags | socket.AI_NUMERICHOST)
        ]


def attempt(egress: Egress, url: str) -> str:
    """One picture and one webhook; what became of the picture: `fetched` or the code of its error."""
    deliver(egress, url, "job_0.job.succeeded", "job.succeeded", "2026-01-01T00:00:00Z", {}, secret=SECRET,
            timeout_s=5, allow_http=True)  # fmt: skip
    try:
        egress.get(url, max_bytes=1000)
    except SourceError as error:
        return error.code
    return "fetched"


def literals(connects: Connects, everywhere: list[Address], seed: int) -> tuple[Counter[str], list[str]]:
    """Every address in every disguise, and behind names; the codes, and the URLs, for the redirects."""
    names, codes, tried = Names(), Counter[str](), list[str]()
    egress, dice = Egress(timeout_s=5, redirects=3, resolver=names), chance(seed, "forms")
    for number, address in enumerate(everywhere):
        good = str(samples(dice.choice(PUBLIC), 1, dice)[0])
        names.known = {
            "one.example": [str(address)],
            "after.example": [good, str(address)],
            "before.example": [str(address), good],
        }
        behind = [("a name", f"http://{name}{dice.choice(('', '.'))}/") for name in names.known]
        for _, url in [*urls(address, dice), *behind]:
            codes[attempt(egress, url)] += 1
            tried.append(url)
        if number % 100 == 99:
            say(f"{len(tried):,} URLs, {len(connects.broken_off)} connects to forbidden addresses")
    return codes, tried


def redirects(connects: Connects, targets: list[str]) -> Counter[str]:
    """A public-looking server answers each fetch with a redirect to a forbidden address."""

    class Sends(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(self.path[1:])
            place = targets[number].replace("\r", "").replace("\n", "").encode().decode("latin-1")
            self.send_response(CODES[number % len(CODES)])
            self.send_header("Location", place)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    codes = Counter[str]()
    server = ThreadingHTTPServer((OWN, 0), Sends)
    connects.ours.add(server.server_port)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    egress = Egress(timeout_s=5, redirects=3, allow=[ip_network(f"{OWN}/32")])
    for number in range(len(targets)):
        codes[attempt(egress, f"http://{OWN}:{server.server_port}/{number}")] += 1
    server.shutdown()
    thread.join(10)
    server.server_close()
    connects.ours.discard(server.server_port)
    return codes


def rebinding(connects: Connects, lookups: int, seed: int) -> tuple[Counter[str], int]:
    """Names whose answers take turns between good and bad ones; the codes, and the connects to good addresses."""
    dice = chance(seed, "names")
    bad, good = [str(one[1 % one.num_addresses]) for one in FORBIDDEN], [str(one[34]) for one in PUBLIC]

    def turns(name: str, number: int) -> list[str]:
        wrong, right = dice.choice(bad), dice.choice(good)
        return {
            "turns": [wrong if number % 2 else right], "once": [right if number == 0 else wrong],
            "both": [right, wrong], "four": [*dice.sample(good, 3), wrong], "alias": ["localhost.example"],
        }[name.partition(".")[0]]  # fmt: skip

    codes, connected = Counter[str](), 0
    with NameServer(turns) as server:
        connects.ours.add(server.port)
        resolver = UdpResolver(nameservers=(OWN,), nameserver_port=server.port)
        egress = Egress(timeout_s=5, redirects=3, resolver=resolver)
        connects.take()
        for number in range(lookups):
            kind = ("turns", "once", "both", "four", "alias")[number % 5]
            codes[attempt(egress, f"http://{kind}.{number // 25}.example/")] += 1
        connected = len(connects.take())
        assert server.asked.total() >= lookups
    return codes, connected


def refused_good_ones(connects: Connects, many: int, seed: int) -> int:
    """Public addresses, as literals and behind names, that the guard refused or that no connect was made to."""
    names, dice, refused = Names(), chance(seed, "good"), 0
    egress = Egress(timeout_s=5, redirects=3, resolver=names)
    for number in range(many):
        address = samples(PUBLIC[number % len(PUBLIC)], 1, dice)[-1]
        names.known = {"good.example": [str(address)]}
        literal = f"[{address}]" if address.version == 6 else str(address)
        for host in (literal, "good.example"):
            connects.take()
            try:
                egress.get(f"http://{host}/", max_bytes=1)
            except AddressForbidden:
                refused += 1
                continue
            except SourceError:
                pass  # the connect was broken off by the hook: it was made
            refused += connects.take() != [str(address)]
    return refused


def run(asked: argparse.Namespace) -> Row:
    """`random` addresses of each network beside its first and last, `lookups` through the name server."""
    connects = Connects()
    with socket.create_server((OWN, 0)) as proxy:  # whoever asks the environment for a proxy connects here
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            os.environ[name] = f"http://{OWN}:{proxy.getsockname()[1]}"
        dice = chance(asked.seed, "addresses")
        everywhere = [one for network in FORBIDDEN for one in samples(network, asked.random, dice)]
        good = refused_good_ones(connects, asked.good, asked.seed)
        codes, tried = literals(connects, everywhere, asked.seed)
        say(f"{len(tried):,} URLs: {dict(codes)}")
        own = f"//{OWN}"
        sent = redirects(connects, [url for url in tried[:: asked.every] if own not in url and "/a.jpg" in url])
        moved, reached = rebinding(connects, asked.lookups, asked.seed)
    breaches, proxied = connects.broken_off, connects.seen.count(OWN)
    for breach in breaches[:10]:
        say(f"connected: {breach}")
    return Row(
        load=f"{len(tried):,} URLs of {len(everywhere)} addresses, {sent.total():,} redirects, {moved.total():,} names",
        fault="forbidden addresses in disguise, for pictures and webhooks; a rebinding name server; proxies named",
        reach="0 connects to a forbidden address, seen at the socket; 0 of the good ones refused",
        measured={
            "connects to forbidden addresses": len(breaches), "good ones refused": f"{good} of {2 * asked.good}",
            "connects to a proxy": proxied, "disguised": dict(codes), "redirects": dict(sent), "rebinding": dict(moved),
            "connects to good addresses while rebinding": reached,
        },
        held=not breaches and not good and not proxied and reached > 0 and len(tried) >= asked.least,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    full = {"random": 10, "every": 13, "lookups": 2000, "good": 100, "least": 20_000}
    conclude(run, parser(__doc__, full, {"random": 0, "every": 29, "lookups": 100, "good": 27, "least": 2000}).read())


if __name__ == "__main__":
    main()

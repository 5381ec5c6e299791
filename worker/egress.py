"""The one way out over HTTP: a URL from a stranger goes in, bytes or a coarse error come out.

Pictures (`get`) and webhooks (`post`) both leave through here, so that one guard decides what this service may reach.
It knows nothing of pictures, jobs or signatures, reads no settings, and keeps no connection: every exchange opens its
own socket, so nothing is shared between tenants and every hop is guarded anew.

`worker/addresses.py` judges the URL; `ssrfguard` resolves the name once, refuses it if any answer is closed, and
connects to exactly the address that was judged; `h11` speaks HTTP/1.1 on that socket. No client library lies between
them, because theirs re-parse the URL, read proxies from the environment, inflate bodies without bound, and have
timeouts a read (a server that drips one byte a second never meets one) where this needs one deadline for everything,
name resolution included.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import certifi
import h11
from ssrfguard import Policy, Resolver, SSRFGuardError, Target, connect, resolve

from shared.errors import AddressForbidden, FetchFailed, FetchTimeout, SourceNotFound, SourceTooLarge
from worker.addresses import Addresses, Network
from worker.exchange import Deadline, Exchange, in_time, request

DNS_SLOTS = 32
"""Name look-ups in flight. A stuck `getaddrinfo` cannot be stopped, so its thread keeps a slot until it returns."""
DNS_S = 7.0
"""One look-up, at most. More than the 5 s after which glibc asks again, so that one lost packet fails no fetch."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({404, 410})


@dataclass(frozen=True)
class Answer:
    """What a POST brought back.

    Attributes:
        status: HTTP status, 200..599.
        retry_after: the header's raw text, at most 64 characters; None where there was none.
        latency_ms: from the start of the call to the end of the response head.
    """

    status: int
    retry_after: str | None
    latency_ms: float


class Egress:
    """A guarded HTTP client; threads may share it.

    Args:
        timeout_s: for one `get`, whole: names, connects, redirects, body.
        redirects: followed in one `get`, at most.
        ports: that a URL may name.
        allow: networks that are reached although closed by default, and on any port.
        deny: networks that are never reached, those within `allow` included.
        resolver: stands in for `socket.getaddrinfo`; what it answers is judged all the same.

    Raises:
        StartupError: `ports` or `allow` cannot be meant (a port out of range; a network inside a translation prefix).
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        redirects: int,
        ports: Sequence[int] = (80, 443),
        allow: Sequence[Network] = (),
        deny: Sequence[Network] = (),
        resolver: Resolver = socket.getaddrinfo,
    ) -> None:
        self._addresses = Addresses(ports, allow, deny)
        self.timeout_s: Final = timeout_s
        self._redirects = redirects
        self._resolver = resolver
        self._slots = threading.BoundedSemaphore(DNS_SLOTS)
        # Shared, for making one costs 10-20 ms. The system's roots may hold an operator's own CA; a slim image may hold
        # none, so certifi's are added.
        self._tls = ssl.create_default_context()
        self._tls.load_verify_locations(certifi.where())
        self._tls.set_alpn_protocols(["http/1.1"])

    def get(self, url: str, *, max_bytes: int) -> bytes:
        """Fetch one URL; every redirect is judged like the first address.

        A body longer than its Content-Length is cut there; a shorter one is an error.

        Raises:
            AddressForbidden: scheme, port, user name, host or address is not open, here or at a redirect, or the
                redirect leaves https. No connection was made to it.
            SourceNotFound: 404 or 410.
            SourceTooLarge: more than `max_bytes`, announced or counted.
            FetchTimeout: not done within `timeout_s`.
            FetchFailed: anything else: no such name, refused, broke off, other status, compressed, not HTTP.
        """
        deadline = Deadline(self.timeout_s)
        for _ in range(self._redirects + 1):
            with self._exchange("GET", url, {"Accept": "*/*"}, b"", deadline) as exchange:
                if exchange.status in REDIRECTS:
                    url = _next_hop(url, exchange.header(b"location"))
                    continue
                _check_head(exchange, max_bytes)
                return exchange.read(max_bytes)
        raise FetchFailed(f"The server redirects more than {self._redirects} times.")

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
        """Send `body` as it is, once; redirects are not followed and the answer's body is dropped.

        Raises:
            AddressForbidden, FetchTimeout, FetchFailed: as `get`; a status is never an error here.
        """
        start = time.monotonic()
        head = {**headers, "Content-Length": str(len(body))}
        with self._exchange("POST", url, head, body, Deadline(timeout_s)) as exchange:
            retry_after = exchange.header(b"retry-after")
            answer = Answer(
                status=exchange.status,
                retry_after=None if retry_after is None else retry_after[:64].decode("ascii", "replace"),
                latency_ms=(time.monotonic() - start) * 1000,
            )
            exchange.drain()
        return answer

    @contextmanager
    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, deadline: Deadline
    ) -> Iterator[Exchange]:
        """Judge, connect, send, read the head; the caller reads the body inside the block. Errors come out coarse."""
        try:
            target, policy = self._addresses.judge(url)
            sock = self._connect(target, policy, deadline)
            try:
                exchange = Exchange(sock, deadline)
                exchange.send(request(method, url, target, headers), body)
                yield exchange
            finally:
                sock.close()
        except SSRFGuardError as error:
            ports = " or ".join(str(port) for port in self._addresses.ports)
            raise AddressForbidden(
                f"The URL must be http or https, without spaces or user name, on port {ports}, at a public address, "
                "and its host plainly written."
            ) from error
        except TimeoutError as error:
            raise FetchTimeout("The server did not answer in the time allowed.") from error
        except h11.RemoteProtocolError as error:
            raise FetchFailed("The server broke off, or its answer is not valid HTTP.") from error
        except (OSError, UnicodeError) as error:
            raise FetchFailed("The server could not be reached, or it broke off.") from error

    def _connect(self, target: Target, policy: Policy, deadline: Deadline) -> socket.socket:
        """A socket to the first judged address that answers, with TLS begun where the scheme wants it."""
        resolver: Resolver = socket.getaddrinfo if target.is_literal_address else partial(self._lookup, deadline)
        addresses = resolve(target, policy=policy, resolver=resolver)[: policy.max_connection_attempts]
        for tried, address in enumerate(addresses):
            try:
                # Each address gets its share, so that a dead first one leaves time for the next.
                share = deadline.left() / (len(addresses) - tried)
                sock = connect((address,), policy=policy, timeout=share)
            except OSError:
                if tried == len(addresses) - 1:
                    raise
            else:
                break
        if target.scheme != "https":
            return sock
        try:
            sock.settimeout(deadline.left())
            return self._tls.wrap_socket(sock, server_hostname=target.host.rstrip("."))
        except BaseException:
            sock.close()
            raise

    def _lookup(self, deadline: Deadline, *query: object) -> Iterable[tuple[int, int, int, str, tuple[Any, ...]]]:
        """`getaddrinfo` with a deadline."""
        return in_time(partial(self._resolver, *query), deadline.within(DNS_S), self._slots)


def _check_head(exchange: Exchange, max_bytes: int) -> None:
    """Refuse a response by its head, before any of its body is read."""
    if exchange.status in GONE:
        raise SourceNotFound("The server has nothing at this address.")
    if exchange.status != 200:
        raise FetchFailed(
            "The server answered with an error." if exchange.status >= 400 else "The server sent no body."
        )
    if any(value.lower() not in (b"", b"identity") for value in exchange.headers(b"content-encoding")):
        raise FetchFailed("The server compresses its answer although it was asked not to.")
    if int(exchange.header(b"content-length") or 0) > max_bytes:
        raise SourceTooLarge(f"The picture has more than {max_bytes} bytes.")


def _next_hop(url: str, location: bytes | None) -> str:
    """Where a redirect leads. The result is judged like any other URL.

    Raises:
        FetchFailed: it names no place.
        AddressForbidden: it leaves https, or is no URL.
    """
    if not location:
        raise FetchFailed("The server redirects to nowhere.")
    try:
        target = urljoin(url, location.decode())
        downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http"
    except ValueError as error:
        raise AddressForbidden("The server redirects to something that is not a URL.") from error
    if downgrade:
        raise AddressForbidden("The server redirects from https to http.")
    return target

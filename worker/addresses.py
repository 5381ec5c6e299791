"""Where the worker may connect: a URL from a stranger goes in, a judged target and the judge of its addresses come out.

`ssrfguard` reads the URL and decides each address by IANA's registries, what a translation prefix carries included.
Added here: what those registries cannot know, what the operator opens and closes, and names that not every reader
takes for the same host. It resolves nothing, connects to nothing, and reads no settings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from typing import Final
from urllib.parse import urlsplit

from ssrfguard import DEFAULT_DENIED, AddressTable, Block, BlockedURLError, Policy, Reach, Target

from shared.errors import StartupError
from worker.exchange import DEFAULT_PORTS

Network = IPv4Network | IPv6Network

EXTRA_DENIED = (
    Block(ip_network("168.63.129.16/32"), "Azure WireServer", "vendor", Reach.DENIED),
    Block(ip_network("::ffff:0:0:0/96"), "IPv4-translated (SIIT)", "RFC2765", Reach.DENIED),
    Block(ip_network("fd20:ce::254/128"), "Cloud metadata (GCP over IPv6)", "vendor", Reach.DENIED),
    # The registries name what is special, not what is in use: overlay networks live in space that nobody was given.
    Block(ip_network("::/0"), "Outside global unicast", "RFC4291", Reach.DENIED),
    Block(ip_network("2000::/3"), "Global unicast", "RFC4291", Reach.PERMITTED),
)
PUBLIC = AddressTable((*DEFAULT_DENIED.blocks, *EXTRA_DENIED))
# On a port that is not listed nothing is public: only networks allowed by name are left.
NOTHING = AddressTable(tuple(Block(ip_network(n), "Any", "-", Reach.DENIED) for n in ("0.0.0.0/0", "::/0")))

AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@]+)(:[0-9]*)?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes a host an IPv4 address for browsers and for `inet_aton` (WHATWG URL, "ends in a number")."""

LETTERS = frozenset({"Ll", "Lm", "Lo", "Mn", "Mc", "Nd"})
"""Unicode categories of what an internationalised label may hold (RFC 5892, 2.1, without upper case)."""


@dataclass(frozen=True)
class Judge(Policy):
    """ssrfguard's policy, under which `closed` stays closed whatever else is opened.

    Attributes:
        closed: the operator's own networks, and the prefixes that carry IPv4 addresses, so that those are looked into.
    """

    closed: AddressTable = NOTHING

    def check_address(self, address: str | IPv4Address | IPv6Address) -> None:
        """Raises BlockedAddressError: it may not be connected to."""
        self.closed.classify(address).raise_if_blocked()
        super().check_address(address)


class Addresses:
    """The judge of URLs and addresses; threads may share it.

    Args:
        ports: that a URL may name.
        allow: networks that are reached although closed by default, and on any port.
        deny: networks that are never reached, those within `allow` included.

    Raises:
        StartupError: a value cannot be meant (a port out of range; a network to allow inside a translation prefix).
    """

    def __init__(self, ports: Sequence[int], allow: Sequence[Network], deny: Sequence[Network]) -> None:
        try:
            self._public = Judge(
                denied_networks=PUBLIC,
                allowed_networks=tuple(allow),
                allowed_ports=frozenset(ports),
                closed=_closed(deny),
            )
        except ValueError as error:
            raise StartupError(f"SPOTTER_FETCH_PORTS or SPOTTER_FETCH_ALLOW: {error}.") from error
        self._named_only = replace(self._public, denied_networks=NOTHING)
        self.ports: Final = tuple(sorted(ports))

    def judge(self, url: str) -> tuple[Target, Judge]:
        """The origin that `url` names, and who decides about each address of it.

        Raises:
            SSRFGuardError: the URL is not open: scheme, port, user name, a host that is a closed address, or one that
                not every reader takes for the same.
        """
        policy = self._policy(url)
        target = policy.check_url(url)
        _check_readings(url, target)
        return target, policy

    def _policy(self, url: str) -> Judge:
        """The listed ports lead to everything public; another port only to networks that are allowed by name."""
        try:
            split = urlsplit(url)
            port = split.port or DEFAULT_PORTS.get(split.scheme)
        except ValueError:
            return self._public  # whose check refuses the same text, and says so in the right class
        if port is None or port in self._public.allowed_ports:
            return self._public
        return replace(self._named_only, allowed_ports=frozenset({port}))


def _closed(deny: Sequence[Network]) -> AddressTable:
    """The operator's networks as a table. A prefix that carries addresses is looked into unless it is closed whole."""
    networks: list[Network] = [
        *collapse_addresses(one for one in deny if isinstance(one, IPv4Network)),
        *collapse_addresses(one for one in deny if isinstance(one, IPv6Network)),
    ]
    carriers = (block for block in PUBLIC.blocks if block.reach is Reach.TRANSLATED)
    return AddressTable(
        (
            *(block for block in carriers if not _inside(block.network, networks)),
            *(Block(one, "Closed by the operator", "SPOTTER_FETCH_DENY", Reach.DENIED) for one in networks),
        )
    )


def _inside(network: Network, others: Iterable[Network]) -> bool:
    return any(network.version == one.version and network.subnet_of(one) for one in others)  # type: ignore[arg-type]


def _check_readings(url: str, target: Target) -> None:
    """Refuse a host that one reader of URLs takes for an address, or for another host, than the next.

    `0x7f.1` is a name here and an address in `inet_aton` and in browsers; `a[::1]b` is `::1` for the standard library
    alone. Letters outside ASCII must be such that both versions of IDNA encode them alike: RFC 3490, as the resolver
    does, makes `strasse` of what RFC 5891 keeps apart.

    Raises:
        BlockedURLError: it is such a host.
    """
    if not AUTHORITY.fullmatch(urlsplit(url).netloc):
        raise BlockedURLError(url, "the authority is more than a host and a port")
    if not target.is_literal_address and NUMBER.fullmatch(target.host.rstrip(".").rpartition(".")[2]):
        raise BlockedURLError(url, "the host ends in a number, so some readers take it for an address")
    host = target.host_as_written
    if not host.isascii() and not _reads_alike(host):
        raise BlockedURLError(url, "the host has letters that not every reader encodes alike; write it as xn--")


def _reads_alike(host: str) -> bool:
    """Whether RFC 3490 and RFC 5891 encode a host, in lower case, alike; False also for some where they would."""
    if unicodedata.normalize("NFKC", host.casefold()) != host:
        return False
    return all(
        all(letter == "-" or unicodedata.category(letter) in LETTERS for letter in label)
        and not label.startswith("-")
        and not label.endswith("-")
        and (label.startswith("xn--") or label[2:4] != "--")
        for label in host.split(".")
    )

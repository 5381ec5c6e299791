"""The address of a store behind Sentinels, read: who knows the master, what it is called, and how to log in.

    sentinel://user:password@one:26379,two:26379,three:26379/0?master=mymaster

A URL form of ours, since the clients know none: redis-py takes hosts as arguments, kombu one URL for each. User and
password are the data server's; `sentinel_username` and `sentinel_password` in the query are the Sentinels' own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from shared.errors import StartupError

SCHEME = "sentinel"
PORT = 26379
FORM = "sentinel://[user:password@]host[:port][,host[:port]...]/db?master=name"


@dataclass(frozen=True)
class Sentinels:
    """See the module's text.

    Attributes:
        nodes: host and port of each Sentinel.
        login: redis-py's `username` and `password` for the data servers, as far as they are given.
        own_login: the same for the Sentinels.
    """

    nodes: tuple[tuple[str, int], ...]
    master: str
    db: int = 0
    login: dict[str, str] = field(default_factory=dict, repr=False)
    own_login: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """redis-py's arguments of a connection to the master."""
        return {"db": self.db, **self.login}

    def kombu_url(self) -> str:
        """kombu wants a URL for each Sentinel, with the data server's login in all of them."""
        user, password = (quote(self.login.get(name, ""), safe="") for name in ("username", "password"))
        login = f"{user}:{password}@" if password else ""
        return ";".join(f"{SCHEME}://{login}{_host(host)}:{port}/{self.db}" for host, port in self.nodes)


def is_sentinel(url: str) -> bool:
    """Whether this is such an address."""
    return url.lower().startswith(f"{SCHEME}://")


def read(url: str) -> Sentinels:
    """The parts of such an address.

    Raises:
        StartupError: it is not of the form; the text does not hold the address, which may hold a password.
    """
    split = urlsplit(url)
    given = dict(parse_qsl(split.query, keep_blank_values=True))
    login, _, hosts = split.netloc.rpartition("@")
    user, _, password = login.partition(":")
    try:
        nodes = tuple(_node(node) for node in hosts.split(","))
        master, db = given.pop("master"), int(split.path.strip("/") or 0)
    except (KeyError, ValueError):
        raise StartupError(f"An address with Sentinels has the form {FORM}.") from None
    own = {name.removeprefix("sentinel_"): given.pop(name) for name in ("sentinel_username", "sentinel_password")
           if name in given}  # fmt: skip
    if given or not master:
        raise StartupError(f"An address with Sentinels has the form {FORM}, and nothing else in its query.")
    named = {"username": unquote(user), "password": unquote(password)}
    return Sentinels(nodes, master, db, {name: value for name, value in named.items() if value}, own)


def _node(text: str) -> tuple[str, int]:
    split = urlsplit(f"//{text}")
    if not split.hostname:
        raise ValueError("no host")
    return split.hostname, split.port or PORT


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host

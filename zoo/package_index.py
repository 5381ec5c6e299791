"""A package's name and version -> the address of its source archive in the index that the user's pip uses.

Only looks: `unearth` reads index pages, nothing is built or run. Knows neither models nor archives' contents.
"""

from __future__ import annotations

import base64
import logging
import mimetypes
import netrc
import os
import ssl
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import httpx
from unearth import Link, PackageFinder
from unearth.fetchers import DEFAULT_SECURE_ORIGINS, Fetcher

from zoo import download
from zoo.download import SourceFailed
from zoo.pip_settings import PipSettings

_MAX_PAGE = 64 * 1024 * 1024
_PAGE_S = 15.0


def client(settings: PipSettings) -> httpx.Client:
    """An HTTP client with pip's certificates, proxy, trusted hosts and index credentials.

    Raises:
        SourceFailed: a certificate file that pip names cannot be read.
    """
    options: dict[str, Any] = {"auth": _IndexAuth(_addresses(settings))}
    try:
        if settings.cert or settings.client_cert:
            at = Path(settings.cert) if settings.cert else None
            context = ssl.create_default_context(
                cafile=str(at) if at and not at.is_dir() else None, capath=str(at) if at and at.is_dir() else None
            )
            if settings.client_cert:
                context.load_cert_chain(settings.client_cert)
            options["verify"] = context
    except (OSError, ssl.SSLError) as error:
        raise SourceFailed(f"pip's certificate cannot be read: {error}") from None
    if settings.proxy:
        options["proxy"] = settings.proxy
    options["mounts"] = {
        f"all://{host}": httpx.HTTPTransport(verify=False, proxy=settings.proxy)  # the user trusts them
        for host in settings.trusted_hosts
    }
    return download.client(**options)


def locate(http: httpx.Client, settings: PipSettings, package: str, version: str) -> Link:
    """The link of a package's source archive (.tar.gz), from the first place that has it.

    Raises:
        SourceFailed: no place has it; the text says why, place by place.
    """
    problems: list[str] = []
    # The protocol says that a response's url is text; unearth only ever calls str() on it, as httpx's wants.
    session = cast(Fetcher, IndexSession(http, settings.trusted_hosts))
    for place, finder_options in _places(settings):
        with _log_of_unearth() as said:
            try:
                finder = PackageFinder(
                    session, ignore_compatibility=True, no_binary=[package], trusted_hosts=(), **finder_options
                )
                for match in finder.find_matches(f"{package}=={version}"):
                    if match.link.filename.endswith(".tar.gz"):
                        return match.link
            except (SourceFailed, ValueError, OSError) as error:
                said.append(str(error))
        problems.append(f"{place}: {'; '.join(said) or 'does not have it'}")
    raise SourceFailed("; ".join(problems) or "pip is configured to use no index")


def _places(settings: PipSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where pip looks, each with its own `PackageFinder` options, so that one dead place does not hide the others."""
    for link in settings.find_links:
        yield download.shown(link) if "://" in link else link, {"find_links": [link]}
    if settings.no_index:
        return
    if settings.index_url is None:
        yield "the default index", {}  # unearth's default is pip's
    for url in _addresses(settings):
        yield download.shown(url), {"index_urls": [url]}


def _addresses(settings: PipSettings) -> list[str]:
    return [*([settings.index_url] if settings.index_url else []), *settings.extra_index_urls]


class IndexSession:
    """What `unearth` fetches pages with (its `Fetcher` protocol): our client, and files for `file://` indexes."""

    def __init__(self, http: httpx.Client, trusted_hosts: Iterable[str]) -> None:
        self._http = http
        self._trusted = tuple(trusted_hosts)

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The whole page. Raises SourceFailed where nobody answers in time or the page is too large."""
        if url.startswith("file:"):
            return _local(url)
        return self._page(self._http.build_request("GET", url, headers=headers, timeout=_PAGE_S))

    def head(self, url: str, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Status and headers. Raises SourceFailed as `get` does."""
        return self._page(self._http.build_request("HEAD", url, headers=headers, timeout=_PAGE_S))

    def get_stream(
        self, url: str, *, headers: Mapping[str, str] | None = None
    ) -> AbstractContextManager[httpx.Response]:
        """Part of the protocol; archives are fetched by `zoo.download`, which resumes and verifies."""
        return self._http.stream("GET", url, headers=headers)

    def iter_secure_origins(self) -> Iterable[tuple[str, str, str]]:
        """What `unearth` may read from: https, this machine, and the hosts that pip trusts."""
        yield from DEFAULT_SECURE_ORIGINS
        for host in self._trusted:
            name, _, port = host.partition(":")
            yield ("*", name, port or "*")

    def _page(self, request: httpx.Request) -> httpx.Response:
        response = download.answer(self._http, request)
        try:
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > _MAX_PAGE:
                    raise SourceFailed(f"its page is larger than {_MAX_PAGE} bytes")
        except httpx.HTTPError as error:
            raise SourceFailed(f"its page broke off: {type(error).__name__}") from None
        finally:
            response.close()
        headers = {"Content-Type": response.headers.get("Content-Type", "Unknown")}
        return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)


def _local(url: str) -> httpx.Response:
    path = Path(url2pathname(urlsplit(url).path))
    request = httpx.Request("GET", url)
    try:
        content = path.read_bytes()
    except OSError as error:
        return httpx.Response(404, text=str(error), request=request)
    kind = mimetypes.guess_type(path)[0] or "text/plain"
    return httpx.Response(200, headers={"Content-Type": kind}, content=content, request=request)


class _IndexAuth(httpx.Auth):
    """Basic credentials from an index's own address, for that host only; from the user's netrc otherwise."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._by_host: dict[str, tuple[str, str]] = {}
        for parts in map(urlsplit, addresses):
            if parts.hostname and parts.username:
                self._by_host[parts.hostname] = (unquote(parts.username), unquote(parts.password or ""))

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx calls this for every request."""
        known = self._by_host.get(request.url.host) or _from_netrc(request.url.host)
        if known:
            token = base64.b64encode(":".join(known).encode()).decode()
            request.headers["Authorization"] = f"Basic {token}"
        yield request


def _from_netrc(host: str) -> tuple[str, str] | None:
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None  # no file, or one that is not ours to judge: the index says 401 if it wanted credentials
    return (found[0], found[2] or "") if found else None


@contextmanager
def _log_of_unearth() -> Iterator[list[str]]:
    """What `unearth` only logs (a 404, an untrusted host) as text for our own error."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, handler = logging.getLogger("unearth"), Keep(logging.WARNING)
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates

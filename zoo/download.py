"""One address -> one file whose size and sha256 are right, or `SourceFailed` with the reason. Resumes what broke off.

Knows HTTP, not models. It runs for the user, with the user's proxies and certificates, so it has no address guard.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from urllib.parse import urlsplit

import httpx

from zoo.catalog import File

Advance = Callable[[int, int], None]

CONNECT_S = 5.0
READ_S = 15.0
ANSWER_S = 6.0  # name look-up, connection, TLS and the first header together
WHOLE_S = 1800.0
ATTEMPTS = 3  # in a row that bring nothing new; whatever makes progress goes on until WHOLE_S


class SourceFailed(Exception):
    """A source did not give the right bytes. The next one is tried; `host` is set where nobody answered there."""

    def __init__(self, reason: str, host: str | None = None) -> None:
        super().__init__(reason)
        self.host = host


def client(**options: object) -> httpx.Client:
    """An HTTP client with this module's timeouts; `options` are those of `httpx.Client`."""
    return httpx.Client(
        timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
        follow_redirects=True,
        max_redirects=5,
        headers={"User-Agent": "spotter-models", "Accept-Encoding": "identity"},
        **options,  # type: ignore[arg-type]
    )


def answer(http: httpx.Client, request: httpx.Request, *, bound_s: float | None = None) -> httpx.Response:
    """Send a request and return its answer, body unread. Whoever calls closes it.

    The exchange runs in a thread of its own, because no timeout of the client bounds the name look-up or the sum over a
    host's addresses.

    Raises:
        SourceFailed: nobody answered within `bound_s` seconds (ANSWER_S where None), or the connection failed.
    """
    bound_s = ANSWER_S if bound_s is None else bound_s
    results: Queue[httpx.Response | httpx.HTTPError] = Queue(1)
    given_up = threading.Event()

    def exchange() -> None:
        try:
            response = http.send(request, stream=True)
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: the client was closed meanwhile
            results.put(error if isinstance(error, httpx.HTTPError) else httpx.HTTPError(str(error)))
            return
        results.put(response)
        if given_up.is_set():
            response.close()

    threading.Thread(target=exchange, name="zoo-answer", daemon=True).start()
    host = request.url.host
    try:
        result = results.get(timeout=bound_s)
    except Empty:
        given_up.set()
        raise SourceFailed(f"no answer within {bound_s:g} s", host) from None
    if isinstance(result, httpx.HTTPError):
        raise SourceFailed(f"{type(result).__name__}: {result}", host) from None
    return result


def fetch(
    http: httpx.Client, url: str, file: File, folder: Path, *, advance: Advance = lambda done, total: None
) -> Path:
    """Bring `url` into `folder` and return the path of the verified file.

    Bytes land in `<sha256>.part` first; what is there already is continued with `Range`, by this call or a later one,
    from the same address or another, because the checksum over the whole decides.

    Raises:
        SourceFailed: the answer is not 200 or 206, its size or sha256 is wrong, or it broke off too often.
        OSError: `folder` cannot be written.
    """
    complete, part = folder / file.sha256, folder / f"{file.sha256}.part"
    if complete.is_file():
        part.unlink(missing_ok=True)
        complete.rename(part)  # checked again below: a cache is not trusted
    deadline = time.monotonic() + WHOLE_S
    problem = SourceFailed("nothing was tried")
    fruitless = 0
    while fruitless < ATTEMPTS and time.monotonic() < deadline:
        start = _size(part)
        if start > file.size:
            part.unlink()
            start = 0
        if start < file.size:
            try:
                _continue(http, url, file, part, start, deadline, advance)
            except _BrokeOff as error:
                problem = SourceFailed(str(error))
                fruitless = 0 if _size(part) > start else fruitless + 1
                continue
        found = sha256_of(part)
        if found == file.sha256:
            part.rename(complete)
            return complete
        part.unlink()
        problem = SourceFailed(f"sha256 is {found}, expected {file.sha256}")
        if not start:
            break  # these bytes are all from this address, so it has another file
        fruitless += 1
    raise problem


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def sha256_of(path: Path) -> str:
    """sha256 of a file, lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shown(url: str) -> str:
    """An address as it may be shown: without credentials, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


class _BrokeOff(Exception):
    """The transfer ended early; what came is kept."""


def _continue(
    http: httpx.Client, url: str, file: File, part: Path, start: int, deadline: float, advance: Advance
) -> None:
    """One request: append to `part` from `start` on, or begin anew where the server does not continue."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    response = answer(http, http.build_request("GET", url, headers=headers))
    try:
        if response.status_code == 416:
            part.unlink()
            raise _BrokeOff("the server has no such range")
        if response.status_code not in (200, 206):
            raise SourceFailed(f"answered {response.status_code}")
        if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise _BrokeOff("the server sent another range")
        done = start if response.status_code == 206 else 0
        stated = response.headers.get("Content-Length", "")
        if stated.isdigit() and done + int(stated) != file.size:
            raise SourceFailed(f"has {done + int(stated)} bytes, expected {file.size}")
        with part.open("ab" if done else "wb") as stream:
            for chunk in response.iter_raw():  # as it comes: a chunk size would lose what it gathers at a break
                done += len(chunk)
                if done > file.size:
                    raise SourceFailed(f"has more than the expected {file.size} bytes")
                if time.monotonic() > deadline:
                    raise SourceFailed(f"took longer than {WHOLE_S:g} s")
                stream.write(chunk)
                advance(done, file.size)
    except httpx.HTTPError as error:
        raise _BrokeOff(f"broke off ({type(error).__name__})") from None
    finally:
        response.close()
    if done < file.size:
        raise _BrokeOff(f"ended after {done} of {file.size} bytes")

"""Downloads from a local server: wrong bytes, broken transfers, resume, silence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.zoo.zoo_server import Reply, Server, serving
from zoo import download
from zoo.catalog import File
from zoo.download import SourceFailed

BODY = bytes(range(256)) * 5000
FILE = File(name="a.bin", sha256=hashlib.sha256(BODY).hexdigest(), size=len(BODY))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with download.client() as made:
        yield made


def test_whole_file(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    server.paths["/a"] = Reply(BODY)
    heard: list[tuple[int, int]] = []
    found = download.fetch(
        http, server.url("/a"), FILE, tmp_path, advance=lambda done, total: heard.append((done, total))
    )
    assert found.read_bytes() == BODY
    assert heard[-1] == (len(BODY), len(BODY))
    assert [path.name for path in tmp_path.iterdir()] == [FILE.sha256]
    assert download.fetch(http, server.url("/a"), FILE, tmp_path) == found
    assert len(server.seen) == 1, "a file that is there and right is not fetched again"


def test_redirect_is_followed(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    server.paths["/old"] = Reply(status=302, location="/a")
    server.paths["/a"] = Reply(BODY)
    assert download.fetch(http, server.url("/old"), FILE, tmp_path).read_bytes() == BODY


def test_broken_transfer_is_resumed(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    server.paths["/a"] = Reply(BODY, cuts=[500_000, 100_000, 0])
    assert download.fetch(http, server.url("/a"), FILE, tmp_path).read_bytes() == BODY
    assert [wanted for _, wanted, _ in server.seen] == [None, "bytes=500000-", "bytes=600000-", "bytes=600000-"]


def test_without_ranges_it_starts_again(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    server.paths["/a"] = Reply(BODY, cuts=[500_000], ranges=False)
    assert download.fetch(http, server.url("/a"), FILE, tmp_path).read_bytes() == BODY
    assert [wanted for _, wanted, _ in server.seen] == [None, "bytes=500000-"]


def test_partial_file_of_an_earlier_run_is_continued(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / f"{FILE.sha256}.part").write_bytes(BODY[:1000])
    server.paths["/a"] = Reply(BODY)
    assert download.fetch(http, server.url("/a"), FILE, tmp_path).read_bytes() == BODY
    assert server.seen[0][1] == "bytes=1000-"


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 1)], ids=["part", "all", "more"])
def test_damaged_partial_file_does_no_harm(left: bytes, server: Server, http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / f"{FILE.sha256}.part").write_bytes(left)
    server.paths["/a"] = Reply(BODY)
    assert download.fetch(http, server.url("/a"), FILE, tmp_path).read_bytes() == BODY


def test_damaged_cached_file_does_no_harm(server: Server, http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / FILE.sha256).write_bytes(b"x" * len(BODY))
    server.paths["/a"] = Reply(BODY)
    assert download.fetch(http, server.url("/a"), FILE, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"x" * len(BODY)), "sha256 is "),
        (Reply(BODY[:-1]), "has 1279999 bytes, expected 1280000"),
        (Reply(BODY + b"x"), "has 1280001 bytes, expected 1280000"),
        (Reply(BODY + b"x", chunked=True), "has more than the expected 1280000 bytes"),
        (Reply(BODY[:1000], chunked=True, ranges=False), "ended after 1000 of 1280000 bytes"),
        (Reply(BODY, cuts=[0] * 9), "broke off"),
        (Reply(b"gone", status=404), "answered 404"),
        (Reply(b"", status=503), "answered 503"),
    ],
)
def test_wrong_answer_is_refused(reply: Reply, reason: str, server: Server, http: httpx.Client, tmp_path: Path) -> None:
    server.paths["/a"] = reply
    with pytest.raises(SourceFailed, match=reason):
        download.fetch(http, server.url("/a"), FILE, tmp_path)
    assert not (tmp_path / FILE.sha256).exists()
    assert len(server.seen) <= download.ATTEMPTS + 1


def test_silent_host_is_given_up(
    server: Server, http: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ANSWER_S", 0.2)
    server.paths["/a"] = Reply(silent=True)
    with pytest.raises(SourceFailed, match=r"no answer within 0\.2 s") as caught:
        download.fetch(http, server.url("/a"), FILE, tmp_path)
    assert caught.value.host == "127.0.0.1"


def test_refused_connection_names_the_host(http: httpx.Client, tmp_path: Path) -> None:
    with serving() as gone:
        url = gone.url("/a")
    with pytest.raises(SourceFailed, match="ConnectError") as caught:
        download.fetch(http, url, FILE, tmp_path)
    assert caught.value.host == "127.0.0.1"


def test_credentials_are_not_shown() -> None:
    assert (
        download.shown("https://user:pass@host.example:8443/simple/?token=1#x") == "https://host.example:8443/simple/"
    )

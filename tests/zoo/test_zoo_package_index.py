"""Finding a source archive in the index that pip is configured for: a local server and local folders."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zoo.zoo_server import Reply, Server, serving
from zoo import download, package_index, pip_settings
from zoo.download import SourceFailed
from zoo.pip_settings import PipSettings

PAGE = '<a href="../../files/{0}-1.0.tar.gz">{0}-1.0.tar.gz</a> <a href="{0}-1.0-py3-none-any.whl">wheel</a>'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving() as running:
        yield running


def located(settings: PipSettings, package: str = "little") -> str:
    with package_index.client(settings) as http:
        return str(package_index.locate(http, settings, package, "1.0").url_without_fragment)


def test_archive_is_found_in_the_index(server: Server) -> None:
    server.paths["/simple/little/"] = Reply(PAGE.format("little").encode(), kind="text/html")
    assert located(PipSettings(index_url=server.url("/simple"))) == server.url("/files/little-1.0.tar.gz")


def test_next_place_is_asked_where_one_does_not_have_it(server: Server, tmp_path: Path) -> None:
    server.paths["/more/little/"] = Reply(PAGE.format("little").encode(), kind="text/html")
    with serving() as gone:
        dead = gone.url("/simple")
    settings = PipSettings(
        index_url=server.url("/simple"),
        extra_index_urls=(dead, server.url("/more")),
        find_links=(str(tmp_path / "none"),),
    )
    assert located(settings) == server.url("/files/little-1.0.tar.gz")


def test_all_failures_are_named_without_credentials(server: Server, tmp_path: Path) -> None:
    with serving() as gone:
        dead = gone.url("/simple")
    secret = server.url("/simple").replace("http://", "http://user:hidden@")
    server.paths["/other/little/"] = Reply(PAGE.format("other").encode(), kind="text/html")
    settings = PipSettings(
        index_url=secret,
        extra_index_urls=(dead, server.url("/other"), "http://192.0.2.1/simple"),
        find_links=(str(tmp_path / "none"),),
    )
    with pytest.raises(SourceFailed) as caught:
        located(settings)
    text = str(caught.value)
    assert "hidden" not in text
    for reason in ("404", "ConnectError", "does not have it", "not being trusted", "Invalid find link"):
        assert reason in text


def test_index_credentials_are_sent_to_its_host_only(server: Server) -> None:
    server.paths["/simple/little/"] = Reply(PAGE.format("little").encode(), kind="text/html")
    settings = PipSettings(index_url=server.url("/simple").replace("http://", "http://us%40er:pa%3Ass@"))
    located(settings)
    assert server.seen[-1][2] == "Basic " + base64.b64encode(b"us@er:pa:ss").decode()
    with serving() as other, package_index.client(settings) as http:
        http.get(other.url("/").replace("127.0.0.1", "localhost"))
        assert other.seen[-1][2] is None


def test_netrc_credentials(server: Server, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password word\n")
    os.chmod(tmp_path / "netrc", 0o600)
    server.paths["/simple/little/"] = Reply(PAGE.format("little").encode(), kind="text/html")
    located(PipSettings(index_url=server.url("/simple")))
    assert server.seen[-1][2] == "Basic " + base64.b64encode(b"me:word").decode()


def test_folders_as_index_and_find_links(tmp_path: Path) -> None:
    page = tmp_path / "simple" / "little"
    page.mkdir(parents=True)
    (page / "index.html").write_text(PAGE.format("little"))
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "flat-1.0.tar.gz").write_bytes(b"")
    settings = PipSettings(
        index_url=(tmp_path / "simple").as_uri(), find_links=(str(tmp_path / "wheels"),), trusted_hosts=("a.example:1",)
    )
    assert located(settings) == (tmp_path / "files" / "little-1.0.tar.gz").as_uri()
    assert located(settings, "flat") == (tmp_path / "wheels" / "flat-1.0.tar.gz").as_uri()
    with pytest.raises(SourceFailed, match="does not have it"):
        located(PipSettings(no_index=True, find_links=(str(tmp_path / "wheels"),)))
    with pytest.raises(SourceFailed, match="no index"):
        located(PipSettings(no_index=True))


def test_silent_index_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ANSWER_S", 0.2)
    server.paths["/simple/little/"] = Reply(silent=True)
    with pytest.raises(SourceFailed, match="no answer within"):
        located(PipSettings(index_url=server.url("/simple")))


def test_unreadable_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="pip's certificate"):
        package_index.client(PipSettings(cert=str(tmp_path / "none.pem")))


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)} | variables


def test_pip_settings_of_file_and_environment(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url = https://b.example/simple\n"
        "  https://c.example/simple\ncert = /a.pem\nno-index = false\n"
        "[download]\nindex-url = https://d.example/simple\n[list]\ncert = /no.pem\n"
    )
    found = pip_settings.read(
        environment(
            tmp_path, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), PIP_CERT="/b.pem", PIP_TRUSTED_HOST="h1 h2:80"
        )
    )
    assert found.index_url == "https://d.example/simple"
    assert "https://b.example/simple" in found.extra_index_urls
    assert "https://c.example/simple" in found.extra_index_urls
    assert (found.cert, found.trusted_hosts, found.no_index) == ("/b.pem", ("h1", "h2:80"), False)


def test_pip_settings_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    found = pip_settings.read(environment(tmp_path, PIP_INDEX_URL="https://a.example/simple", PIP_NO_INDEX="1"))
    assert found == PipSettings(index_url="https://a.example/simple", no_index=True)
    assert pip_settings.read({}) == PipSettings()

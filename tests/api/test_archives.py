"""Zip archives as the body of a job: what is in them becomes its pictures, and one made to do harm is refused whole."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import httpx
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from api import archives
from api.archives import Archive, Room
from shared.errors import InvalidRequest
from tests.api.conftest import Serve

ZIP = {"Content-Type": "application/zip"}
ROOM = Room(pictures=100, image_bytes=10_000, total_bytes=100_000)
JPEG = b"\xff\xd8\xff" + bytes(range(256))


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def opened(data: bytes, room: Room = ROOM, *, skip_others: bool = False) -> Archive:
    return Archive(io.BytesIO(data), "default", room, skip_others=skip_others)


def read(data: bytes, room: Room = ROOM) -> dict[str | None, bytes]:
    archive = opened(data, room)
    found = {name: part for batch in archive.batches() for name, part in batch.items()}
    return {source.id: found[source.upload] for source in archive.sources}


def reasons(data: bytes, room: Room = ROOM) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as refused:
        read(data, room)
    return [(one.field, one.reason) for one in refused.value.errors]


def raw(entries: list[tuple[bytes, int, int, int]], bodies: bytes, method: int = 0, flags: int = 0) -> bytes:
    """An archive by hand (APPNOTE 6.3.10, 4.3): local part as given, directory of (name, offset, packed, size)."""
    directory = b"".join(
        struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, flags, method, 0, 0, 0, packed, size, len(name), 0, 0, 0,
                    0, 0, offset) + name
        for name, offset, packed, size in entries
    )  # fmt: skip
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, len(entries), len(entries), len(directory), len(bodies), 0)
    return bodies + directory + end


def test_pictures_come_in_order_and_what_nobody_means_to_send_is_left_out() -> None:
    files = {
        "b/2.JPG": b"two", "a/1.png": b"one", "__MACOSX/a/._1.png": b"x", ".hidden/3.jpg": b"x", "a/.DS_Store": b"x",
        "Thumbs.db": b"x", "a/desktop.ini": b"x", "../../etc/up.webp": b"up", "folder/": b"",
    }  # fmt: skip
    assert list(read(zipped(files)).items()) == [("b/2.JPG", b"two"), ("a/1.png", b"one"), ("../../etc/up.webp", b"up")]


def test_a_long_path_keeps_its_end() -> None:
    path = "deep/" * 60 + "dog.jpg"
    assert list(read(zipped({path: JPEG}))) == [path[-200:]]


def test_other_files_are_named_or_left_out_when_asked() -> None:
    data = zipped({"a.jpg": JPEG, "labels.txt": b"dog", "more.zip": zipped({"b.jpg": JPEG})})
    assert [field for field, _ in reasons(data)] == ["file/labels.txt", "file/more.zip"]
    assert [source.id for source in opened(data, skip_others=True).sources] == ["a.jpg"]


@pytest.mark.parametrize(
    ("files", "room", "reason"),
    [
        ({"a.jpg": b""}, ROOM, "the picture is empty"),
        ({"a.jpg": bytes(10_001)}, ROOM, "a picture may hold 10000 bytes at most"),
        ({f"{k}.jpg": bytes(10_000) for k in range(11)}, ROOM, "its pictures may hold 100000 bytes in all"),
        ({f"{k}.jpg": JPEG for k in range(101)}, ROOM, "a job may hold 100 pictures at most"),
        ({}, ROOM, "it holds no picture"),
        ({".hidden.jpg": JPEG}, ROOM, "it holds no picture"),
    ],
)
def test_what_holds_too_much_or_nothing_is_refused(files: dict[str, bytes], room: Room, reason: str) -> None:
    assert [said for _, said in reasons(zipped(files), room)] == [reason]


def test_what_the_room_just_holds_is_taken() -> None:
    files = {f"{k}.jpg": bytes([k]) * 10_000 for k in range(10)}
    assert read(zipped(files)) == files


@pytest.mark.parametrize("claimed", [1, 9_999, 10_000])
def test_a_picture_that_inflates_to_more_than_it_says_is_not_taken(claimed: int) -> None:
    """The directory says `claimed` bytes, the bytes are 50 MB of zeros."""
    data = bytearray(zipped({"bomb.jpg": bytes(50_000_000)}))
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", claimed)
    assert reasons(bytes(data)) == [("file/bomb.jpg", "its bytes cannot be read")]


def test_pictures_whose_claims_are_small_are_counted_as_they_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the directory claims: here it is not even asked."""
    monkeypatch.setattr(archives, "_fault", lambda *_: None)
    assert reasons(zipped({"a.jpg": bytes(10_001)})) == [("file/a.jpg", "a picture may hold 10000 bytes at most")]


def test_entries_that_share_their_bytes_are_refused() -> None:
    """A kernel quoted by many entries is how small archives inflate to petabytes."""
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, 0, 4, 4, 5, 0) + b"a.jpgdata"
    entries = [(b"a.jpg", 0, 4, 4), (b"a.jpg", 0, 4, 4)]
    assert reasons(raw(entries, local)) == [("file/a.jpg", "it overlaps another file")]


def test_encrypted_and_strangely_packed_pictures_are_named() -> None:
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 1, 0, 0, 0, 0, 4, 4, 5, 0) + b"a.jpgdata"
    assert reasons(raw([(b"a.jpg", 0, 4, 4)], local, flags=1)) == [("file/a.jpg", "encrypted")]
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        ((field, reason),) = reasons(zipped({"a.jpg": JPEG}, method))
        assert field == "file/a.jpg"
        assert "deflate" in reason


def test_a_directory_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "DIRECTORY_BYTES", 100_000)
    data = zipped({f"{'x' * 150}{k}.jpg": b"x" for k in range(1000)})
    assert [reason for _, reason in reasons(data)] == ["its directory may hold 100000 bytes at most"]


@pytest.mark.parametrize("data", [b"", b"PK\3\4", JPEG, zipped({"a.jpg": JPEG})[:-30]])
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    assert [reason for _, reason in reasons(data)] == ["this is not a zip archive, or a broken one"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_an_archive_it_is_refused_or_read_within_its_bounds(data: st.DataObject) -> None:
    body = bytearray(zipped({"a.jpg": JPEG * 3, "b/c.png": b"c" * 700, "d.bmp": bytes(9_000)}))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        found = read(bytes(body))
    except InvalidRequest:
        return
    assert all(0 < len(picture) <= ROOM.image_bytes for picture in found.values())


# -- over HTTP


def blobs(client: redis.Redis) -> set[bytes]:
    return {name for name in client.scan_iter("spotter:blob:*") if isinstance(name, bytes)}


def test_a_zip_becomes_a_bulk_job(api: httpx.Client, worker: Any, client: redis.Redis) -> None:
    worker.announce()
    files = {f"shelf/{k}.jpg": JPEG * (k + 1) for k in range(30)}
    answer = api.post("/jobs?threshold=0.4&priority=low", content=zipped(files), headers=ZIP)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["counts"]["total"] == 30
    claims = []
    while got := worker.take(16):
        claims += got
    assert {one.source.id: one.data for one in claims} == files
    assert [one.index for one in claims] == list(range(30))
    assert {one.job.options.threshold for one in claims} == {0.4}
    assert [one["id"] for one in api.get(f"/jobs/{job['id']}").json()["results"]] == list(files)
    # they live as long as the job may, not as long as a picture without one
    assert {client.ttl(name) > 100_000 for name in blobs(client)} == {True}


def test_a_zip_in_a_form_is_the_same(api: httpx.Client, worker: Any) -> None:
    worker.announce()
    body = zipped({"a.jpg": JPEG, "readme.txt": b"x"})
    form = {"options": '{"max_detections": 3}', "others": "skip"}
    answer = api.post("/jobs", files={"file": ("shelf.zip", body, "application/octet-stream")}, data=form)
    assert answer.status_code == 202, answer.text
    (held,) = worker.take(16)
    assert (held.source.id, held.data, held.job.options.max_detections) == ("a.jpg", JPEG, 3)
    both = [("file", ("a.zip", body)), ("file", ("b.zip", body))]
    assert api.post("/jobs", files=both).json()["errors"] == [{"field": "file", "reason": "an archive comes alone"}]


def test_what_is_refused_leaves_no_picture_behind(serve: Serve, worker: Any, client: redis.Redis) -> None:
    api = serve(queue_limit=10)
    worker.announce()
    answer = api.post("/jobs", content=zipped({f"{k}.jpg": JPEG for k in range(11)}), headers=ZIP)
    assert answer.json()["code"] == "queue_full"
    damaged = bytearray(zipped({f"{k}.jpg": b"k" * 5_000_000 for k in range(3)}, zipfile.ZIP_STORED))
    damaged[-1_000_000] ^= 1
    answer = api.post("/jobs", content=bytes(damaged), headers=ZIP)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "file/2.jpg")
    assert api.post("/jobs?model=none", content=zipped({"a.jpg": JPEG}), headers=ZIP).json()["code"] == "unknown_model"
    assert api.post("/jobs?others=keep", content=zipped({"a.jpg": JPEG}), headers=ZIP).status_code == 422
    assert api.post("/jobs", content=b"no zip", headers=ZIP).status_code == 422
    assert blobs(client) == set()


def test_a_key_makes_one_job_of_an_archive(api: httpx.Client, worker: Any, client: redis.Redis) -> None:
    worker.announce()
    headers = ZIP | {"Idempotency-Key": "k"}
    files = {"a.jpg": JPEG, "b.jpg": JPEG}
    first = api.post("/jobs", content=zipped(files), headers=headers).json()["id"]
    there = blobs(client)
    again = api.post("/jobs", content=zipped(files, zipfile.ZIP_STORED), headers=headers)
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (first, "true")
    other = api.post("/jobs", content=zipped(files | {"b.jpg": b"other"}), headers=headers)
    assert other.json()["code"] == "idempotency_mismatch"
    assert blobs(client) == there


def test_large_archives_lie_on_disk_and_have_a_bound_of_their_own(serve: Serve, worker: Any) -> None:
    api = serve(max_body_bytes=100_000, max_archive_bytes=1_000_000, max_image_bytes=90_000)
    worker.announce()
    stored = {f"{k}.jpg": bytes([k]) * 80_000 for k in range(10)}
    body = zipped(stored, zipfile.ZIP_STORED)
    assert len(body) > 800_000
    assert api.post("/jobs", content=body, headers=ZIP).status_code == 202
    assert api.post("/jobs", files={"file": ("a.zip", body)}).status_code == 202
    got: dict[str | None, bytes | None] = {}
    while claims := worker.take(16):
        got |= {one.source.id: one.data for one in claims}
    assert got == stored
    # pictures of a form are in memory: theirs is the bound of other bodies
    many = [("file", (name, data)) for name, data in stored.items()]
    assert api.post("/jobs", files=many).json()["code"] == "body_too_large"
    assert api.post("/jobs", content=body, headers={"Content-Type": "image/jpeg"}).json()["code"] == "body_too_large"
    more = zipped({f"{k}.jpg": bytes([k]) * 80_000 for k in range(14)}, zipfile.ZIP_STORED)
    assert api.post("/jobs", content=more, headers=ZIP).json()["code"] == "body_too_large"
    # what packs well may not be more than twice as much
    bomb = zipped({f"{k}.jpg": bytes(90_000) for k in range(23)})
    assert api.post("/jobs", content=bomb, headers=ZIP).json()["code"] == "invalid_request"

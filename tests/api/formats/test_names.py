"""File names of pictures: what any system can hold, each once."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.formats.names import Names, split
from shared.schema import S3Source, StoredSource, UploadSource, UrlSource

UPLOAD = "upl_" + "0" * 26


def named(*sources: StoredSource) -> list[str]:
    names = Names()
    return [names.name(k, source) for k, source in enumerate(sources)]


def by_id(*ids: str) -> list[str]:
    return named(*(UploadSource(upload=UPLOAD, id=one) for one in ids))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (UrlSource(url="https://example.com/a/dog.jpg?size=2#x"), "dog.jpg"),
        (UrlSource(url="https://example.com/a/der%20Hund.jpeg"), "der Hund.jpeg"),
        (UrlSource(url="https://example.com/..%2F..%2Fetc%2Fpasswd"), "passwd"),
        (UrlSource(url="https://example.com/"), "picture-00000"),
        (UrlSource(url="https://example.com/dog.jpg", id="mine"), "mine"),
        (S3Source(s3="s3://bucket/2024/05/cat.PNG"), "cat.PNG"),
        (S3Source(s3="s3://bucket/folder/"), "picture-00000"),
        (UploadSource(upload=UPLOAD), "picture-00000"),
        (UploadSource(upload=UPLOAD, id="../../etc/passwd"), "_.._etc_passwd"),
        (UploadSource(upload=UPLOAD, id="C:\\x\\y.jpg"), "C_x_y.jpg"),
        (UploadSource(upload=UPLOAD, id=".hidden"), "hidden"),
        (UploadSource(upload=UPLOAD, id="con.jpg"), "_con.jpg"),
        (UploadSource(upload=UPLOAD, id="..."), "picture-00000"),
        (UploadSource(upload=UPLOAD, id="Straße-犬.webp"), "Straße-犬.webp"),
        (UploadSource(upload=UPLOAD, id="v1.2"), "v1.2"),
    ],
)
def test_a_name_is_the_id_or_the_last_part_of_the_address(source: StoredSource, name: str) -> None:
    assert named(source) == [name]


def test_what_is_taken_is_numbered_and_neither_case_nor_suffix_tell_two_apart() -> None:
    assert by_id("a.jpg", "a.jpg", "A.png", "a-2.jpg", "b") == ["a.jpg", "a-2.jpg", "A-3.png", "a-2-2.jpg", "b"]


def test_ten_thousand_equal_names_are_soon_numbered() -> None:
    assert by_id(*["x.jpg"] * 10_000)[-1] == "x-10000.jpg"


@given(st.lists(st.text(min_size=1, max_size=200) | st.sampled_from(["a.jpg", "A.JPG", "a-2.png", "nul"]), max_size=20))
def test_any_ids_make_safe_and_different_names(ids: list[str]) -> None:
    names = by_id(*ids)
    stems = [split(name)[0].casefold() for name in names]
    assert len(set(stems)) == len(stems)
    for name in names:
        assert 0 < len(name.encode()) <= 240
        assert name[0] not in " ."
        assert name[-1] not in " ."
        assert not set(name) & set('/\\:*?"<>|')
        assert not any(unicodedata.category(letter).startswith("C") for letter in name)
    assert by_id(*ids) == names

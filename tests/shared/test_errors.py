"""The error tree: every class is drawn, every code is its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shared import errors
from shared.errors import Overloaded, PictureError, SpotterError


def tree(root: type[SpotterError] = SpotterError) -> Iterator[type[SpotterError]]:
    for child in root.__subclasses__():
        if child.__module__.startswith("shared.errors."):
            yield child
            yield from tree(child)


def test_all_names_are_had_from_the_package() -> None:
    assert {error.__name__ for error in tree()} == {
        name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, SpotterError)
    } - {"SpotterError"}


def test_every_error_is_drawn_with_its_code() -> None:
    assert errors.__doc__ is not None
    lines = {line.split("- ")[1].split()[0]: line for line in errors.__doc__.splitlines() if "- " in line}
    for error in tree():
        assert error.__name__ in lines, f"{error.__name__} is not in the drawing"
        if not error.__subclasses__():
            assert error.code in lines[error.__name__]
        if not issubclass(error, PictureError) and str(error.http_status) not in lines[error.__name__]:
            assert error.__subclasses__() or error is errors.StartupError


def test_codes_are_unique_and_titles_are_sentences() -> None:
    every = list(tree())
    assert len({error.code for error in every}) == len(every)
    assert all(error.title[0].isupper() and not error.title.endswith(".") for error in every)
    assert all(error.http_status in (429, 503) and error.retryable for error in every if issubclass(error, Overloaded))


def test_the_detail_falls_back_to_the_title() -> None:
    assert str(errors.InvalidImage()) == "Not a readable picture"
    assert errors.InvalidImage("cut short").detail == "cut short"


def test_the_api_document_lists_every_code() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "api.md").read_text()
    missing = [
        error.code
        for error in tree()
        if not error.__subclasses__() and f"| `{error.code}` |" not in text and error is not errors.StartupError
    ]
    assert missing == []

"""The web page over HTTP: who gets it and who the document for programs, headers, and that its parts fit together."""

from __future__ import annotations

import re
import tomllib
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.accepting import ranked, weight
from api.main import create_app
from api.routes.page import INDEX, PLACES, POLICY, TYPES, parts
from shared.settings import Settings
from shared.store import JobStore
from tests.api.conftest import Serve
from tests.api.test_owners import bearer, make_key

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "api" / "page"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
"""What Chromium sends for a page (developer.mozilla.org, "List of default Accept values")."""
SCRIPTS = {path.name: path.read_text() for path in sorted(PAGE.glob("*.js"))}


class Names(HTMLParser):
    """What a page of HTML names: its own ids, addresses, and whatever a strict policy would refuse."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.labelled: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [value for name, value in attrs if name in ("href", "src") and value]
        for name in ("aria-labelledby", "aria-describedby", "for", "list"):
            self.labelled += (named.get(name) or "").split()
        self.inline += [f"{tag} {name}" for name, _ in attrs if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in named):
            self.inline.append(tag)


HTML = Names((PAGE / INDEX).read_text())


# -- who gets what ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "text/*", "application/json;q=0.5, text/html;q=0.6"])
def test_who_prefers_html_gets_the_page(api: httpx.Client, accept: str) -> None:
    answer = api.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["vary"] == "Accept"
    assert answer.content == (PAGE / INDEX).read_bytes()


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "", "text/html, application/json", "text/html;q=0, */*", "image/png", "\xff"]
)
def test_everybody_else_gets_the_document(api: httpx.Client, worker: Any, accept: str) -> None:
    worker.announce("m")
    worker.announce("other", versions=("1", "2"), worker="w2")
    answer = api.get("/", headers={b"Accept": accept.encode("latin-1")})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["vary"] == "Accept, Authorization"
    found = answer.json()
    assert (found["name"], found["version"]) == ("spotter", api.get("/openapi.json").json()["info"]["version"])
    assert (found["default_model"], found["models"]) == ("m", ["m", "other"])
    assert found["links"] == PLACES


def test_the_places_are_there(serve: Serve, worker: Any) -> None:
    api = serve(base_url="https://spotter.example.com")
    worker.announce("m")
    for name, link in api.get("/").json()["links"].items():
        assert link.startswith("https://spotter.example.com/")
        status = api.get(link.removeprefix("https://spotter.example.com")).status_code
        assert status == (405 if name == "uploads" else 200), name


def test_without_a_key_the_page_is_public_and_the_models_are_not(serve: Serve, store: JobStore, worker: Any) -> None:
    api = serve(auth="keys")
    worker.announce("m")
    assert api.get("/", headers={"Accept": BROWSER}).status_code == 200
    assert all(api.get(f"/page/{name}").status_code == 200 for name in parts() if name != INDEX)
    reader, meter = (bearer(make_key(store, "shop", scope)) for scope in ("jobs:read", "metrics"))
    shown = [api.get("/", headers=headers).json() for headers in ({}, {"Authorization": "Bearer spt_x"}, meter, reader)]
    assert [one["models"] for one in shown] == [None, None, None, ["m"]]
    assert [one["default_model"] for one in shown] == [None, None, None, "m"]


def test_the_document_is_described(api: httpx.Client) -> None:
    operation = api.get("/openapi.json").json()["paths"]["/"]["get"]
    content = operation["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Discovery"}
    assert "text/html" in content
    assert "security" not in operation


# -- headers ----------------------------------------------------------------------------------------------------------


def test_the_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(api: httpx.Client) -> None:
    headers = api.get("/", headers={"Accept": BROWSER}).headers
    assert headers.get_list("content-security-policy") == [POLICY]
    policy = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"unsafe|https?:|\*", POLICY)
    assert headers["x-content-type-options"] == "nosniff"
    assert HTML.inline == []


@pytest.mark.parametrize("name", sorted(parts()))
def test_a_part_is_sent_once_until_it_changes(api: httpx.Client, name: str) -> None:
    path, accept = ("/", BROWSER) if name == INDEX else (f"/page/{name}", "*/*")
    first = api.get(path, headers={"Accept": accept})
    assert first.content == (PAGE / name).read_bytes()
    assert first.headers["content-type"] == TYPES[name.rpartition(".")[2]]
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known, status in ((tag, 304), (f'"a", W/{tag}', 304), ("*", 304), ('"a"', 200)):
        again = api.get(path, headers={"Accept": accept, "If-None-Match": known})
        assert again.status_code == status
        assert again.headers["etag"] == tag
        assert bool(again.content) == (status == 200)
    head = api.head(path, headers={"Accept": accept})
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(first.content)))


def test_head_is_for_programs_too(api: httpx.Client) -> None:
    head = api.head("/")
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "application/json", b"")


@pytest.mark.parametrize("name", ["README.md", INDEX, "none.js", "..%2F..%2Fpyproject.toml", "%2e%2e"])
def test_nothing_else_is_served(api: httpx.Client, name: str) -> None:
    answer = api.get(f"/page/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")


def test_other_methods_are_refused(api: httpx.Client) -> None:
    answer = api.delete("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


# -- the parts fit together -------------------------------------------------------------------------------------------


def test_what_the_page_names_is_there() -> None:
    named = {one.removeprefix("page/") for one in HTML.addresses if one.startswith("page/")}
    imported = {name for text in SCRIPTS.values() for name in re.findall(r'from "\./([\w.]+)"', text)}
    fetched = {name for text in SCRIPTS.values() for name in re.findall(r'"page/([\w.]+)"', text)}
    assert (named | imported | fetched) <= parts().keys()
    assert parts().keys() - {INDEX} == named, "each module is preloaded, and nothing lies about"
    assert [one for one in HTML.addresses if not one.startswith(("page/", "#"))] == ["docs"]


def test_ids_are_unique_and_those_that_are_named_are_there() -> None:
    assert len(HTML.ids) == len(set(HTML.ids))
    assert set(HTML.labelled) <= set(HTML.ids)
    asked = {name for text in SCRIPTS.values() for name in re.findall(r'byId\("([\w-]+)"\)', text)}
    assert asked <= set(HTML.ids)


def test_every_call_of_the_page_is_in_the_document() -> None:
    document = create_app(Settings(auth="off")).openapi()["paths"]
    calls = re.findall(r'^  \w+: "([A-Z]+) (\S+)",$', SCRIPTS["service.js"], re.MULTILINE)
    assert len(calls) > 10
    assert [(method, path) for method, path in calls if method.lower() not in document.get(path, {})] == []
    for name, text in SCRIPTS.items():
        assert len(re.findall(r"\bfetch\(", text)) == {"service.js": 1, "composer.js": 1}.get(name, 0), name
    assert 'fetch(new URL("page/dog.jpg", ROOT))' in SCRIPTS["composer.js"]


def test_no_text_can_become_markup() -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|localStorage"
    assert [name for name, text in SCRIPTS.items() if re.search(forbidden, text)] == []


def test_the_files_are_part_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "page/*" in project["tool"]["setuptools"]["package-data"]["api"]
    assert (files("api") / "page" / INDEX).is_file()
    assert (PAGE / "dog.jpg").read_bytes() == (ROOT / "spotter" / "sample" / "dog.jpg").read_bytes()


def _colours(block: str) -> dict[str, tuple[float, ...]]:
    """The custom properties of a block that are colours, as linear light (WCAG 2.2, "relative luminance")."""
    found = {}
    for name, text in re.findall(r"--([\w-]+): #([0-9a-f]{6});", block):
        parts_of = [int(text[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        found[name] = tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts_of)
    return found


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out_from_what_is_behind_them(dark: bool) -> None:
    blocks = re.findall(r":root \{(.*?)\n\s*\}", (PAGE / "page.css").read_text(), re.DOTALL)
    colours = _colours(blocks[1 if dark else 0])

    def light(name: str) -> float:
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), colours[name], strict=True))

    texts = {
        "ink": ("ground", "card", "field", "tint", "shade", "bad-tint"),
        "soft": ("ground", "card", "field", "tint", "shade", "bad-tint"),
        "accent": ("ground", "card", "tint", "shade"),
        "accent-ink": ("accent",),
        "bad": ("card", "tint", "shade", "bad-tint"),
        "busy": ("card", "tint", "shade"),
        "wait": ("card", "tint", "shade"),
    }
    for text, grounds in texts.items():
        for ground in grounds:
            high, low = sorted((light(text), light(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, f"{text} on {ground} (WCAG 2.2, 1.4.3)"


# -- the header Accept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "quality"),
    [("text/html", 1.0), ("text/plain", 0.3), ("image/jpeg", 0.5), ("text/csv", 0.0)],
)
def test_the_most_precise_range_decides(kind: str, quality: float) -> None:
    # The example of RFC 9110, 12.5.1, without its parameters of media types; text/csv is of ours.
    assert weight("text/*;q=0.3, text/html, text/csv;q=0, */*;q=0.5", kind) == quality


def test_weights_that_are_none_count_for_nothing() -> None:
    accept = "image/png;q=\xb2, image/webp;q=0.1, a/b;q=1.5, c/d;q=0.1234"
    assert ranked(accept) == [(0.1, "image/webp"), (0.0, "image/png"), (0.0, "a/b"), (0.0, "c/d")]


@given(st.text(max_size=60))
def test_any_accept_is_read(accept: str) -> None:
    found = ranked(accept)
    assert found == sorted(found, key=lambda one: -one[0])
    assert all(0 <= quality <= 1 for quality, _ in found)
    assert 0 <= weight(accept, "text/html") <= 1

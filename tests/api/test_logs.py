"""What is in the logs, and what never is: canaries are planted wherever a client can put a secret, and searched for."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest

from shared.keys import new_key
from shared.observe import JsonFormatter, redacted
from shared.store import JobStore
from tests.api.conftest import Serve
from tests.api.test_owners import bearer, make_key

CANARY = "CANARY5e1f"
ADDRESS = f"https://user{CANARY}:pass{CANARY}@example.com/dog.jpg?token={CANARY}#{CANARY}"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that any logger of the process says, down to DEBUG, as the service writes it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonFormatter("api"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def test_no_secret_of_a_request_is_in_the_log(serve: Serve, store: JobStore, log: io.StringIO) -> None:
    # The test's own client would log what it sends.
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel("WARNING")
    key, unknown = make_key(store, "shop"), new_key()
    api = serve(auth="keys", webhook_secret=f"whsec_{CANARY}aaaaaaaaaaaaaaaaaaaaaaaa")
    job = {"image": {"url": ADDRESS}, "webhook": {"url": ADDRESS}, "metadata": {"secret": CANARY}}
    assert api.post("/jobs", json=job, headers=bearer(key)).status_code == 202
    for headers in (bearer(unknown), {"Authorization": f"Basic {CANARY}"}, {"Authorization": CANARY}):
        assert api.post("/jobs", json=job, headers=headers).status_code == 401
    api.post("/jobs", content=f'{{"image": "{CANARY}'.encode(), headers=bearer(key))
    api.post("/jobs", json={"image": {"url": f"ftp://{CANARY}"}, CANARY: 1}, headers=bearer(key))
    api.get(f"/jobs/{CANARY}?wait={CANARY}&after={CANARY}", headers={**bearer(key), "X-Request-Id": f"{CANARY} x"})
    api.get("/jobs", headers={**bearer(key), "X-Request-Id": "mine\r\n".strip()})
    logging.getLogger("api").warning("it went wrong", extra={"address": ADDRESS, "sent": f"Bearer {key}"})
    try:
        raise ValueError(f"no answer from {ADDRESS} with {key}")
    except ValueError:
        logging.getLogger("api").exception("it went wrong")
    written = log.getvalue()
    assert "it went wrong" in written
    for secret in (CANARY, key.split("_")[2], unknown.split("_")[2]):
        assert secret not in written
    for line in written.splitlines():
        json.loads(line)


def test_what_stays_readable() -> None:
    key = new_key()
    assert redacted(f"the key {key} of a shop") == f"the key spt_{key.split('_')[1]}_*** of a shop"
    assert redacted("GET https://a:b@example.com:8443/x/y.jpg?q=1&r=2 failed") == (
        "GET https://***@example.com:8443/x/y.jpg?*** failed"
    )
    assert redacted("redis://:secret@127.0.0.1:6379/0") == "redis://***@127.0.0.1:6379/0"
    assert redacted("plain words, https://example.com/dog.jpg, user@example.com") == (
        "plain words, https://example.com/dog.jpg, user@example.com"
    )


@pytest.mark.parametrize("hostile", ['\n{"level": "info"}', "\r\x1b[2J", "\u2028\u0085\x9b31m", '"}\\', "\x00"])
def test_no_input_can_forge_a_line(log: io.StringIO, hostile: str, api: httpx.Client) -> None:
    logging.getLogger("api").warning("picture %s", hostile, extra={"name_of_it": hostile})
    lines = [line for line in log.getvalue().split("\n") if "picture" in line]
    assert len(lines) == 1
    assert lines[0].isascii()
    assert lines[0].isprintable()
    assert json.loads(lines[0])["name_of_it"] == hostile

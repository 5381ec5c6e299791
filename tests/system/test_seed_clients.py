"""The clients of the tutorials that this service grew from, against the real processes: only the address is another."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image, ImageChops

from bench.local import Stack
from bench.tiny_model import make_models

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

PICTURES = Path(__file__).parent.parent / "pictures"
DOG = PICTURES / "dog.jpg"
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`spotter up` as it comes, but for a small model under the names that the clients use."""
    folder = tmp_path_factory.mktemp("seeds")
    for name in ("ssd-image", "yolov3-tiny"):
        models = make_models(folder, name, spread=1.0)
    with Stack(folder, models, "fp32", fetch_allow="127.0.0.2/32") as stack:
        yield f"http://127.0.0.1:{stack.port}/"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where dog.jpg can be fetched from."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.2", 0), partial(Quiet, directory=str(PICTURES)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.2:{server.server_port}/dog.jpg"
    server.shutdown()
    server.server_close()


def own(base: str, answer: requests.Response) -> list[dict[str, Any]]:
    """What the job behind an answer found, in our own form."""
    job = requests.get(f"{base}jobs/{answer.headers['X-Spotter-Job']}", timeout=10).json()
    return list(job["results"][0]["detections"])


def is_drawn_upon(jpeg: bytes) -> bool:
    """Whether it is dog.jpg with something on it; saved again alone, no value changes by half as much."""
    with Image.open(io.BytesIO(jpeg)) as drawn, Image.open(DOG) as picture:
        assert drawn.size == picture.size
        return max(ImageChops.difference(drawn, picture).tobytes()) > 150


def curl(*arguments: str, sent: bytes | None = None) -> bytes:
    return subprocess.run(
        ["curl", "-sS", "--fail-with-body", *arguments], input=sent, capture_output=True, check=True, timeout=60
    ).stdout


def test_the_script_that_detects(base: str, address: str) -> None:
    by_url = requests.get(base + "detect?threshold=0.25&url=" + address, timeout=60)
    with DOG.open("rb") as file:
        by_file = requests.post(base + "detect", files={"image_file": file}, data={"threshold": "0.25"}, timeout=60)
    assert (by_url.status_code, by_file.status_code) == (200, 200)
    assert by_url.json() == by_file.json() != []
    for (label, confidence, (x, y, w, h)), one in zip(by_file.json(), own(base, by_file), strict=True):
        box = one["box"]
        assert (label, confidence, w, h) == (one["label"], one["confidence"], box["width"], box["height"])
        assert (x - w / 2, y - h / 2) == pytest.approx((box["x"], box["y"]))


def test_the_script_that_annotates(base: str, address: str) -> None:
    by_url = requests.get(base + "annotate?threshold=0.25&url=" + address, timeout=60)
    with DOG.open("rb") as file:
        by_file = requests.post(base + "annotate", files={"image_file": file}, data={"threshold": "0.25"}, timeout=60)
    for answer in (by_url, by_file):
        assert answer.status_code == 200
        assert answer.headers["Content-type"] == "image/jpeg"
        assert int(answer.headers["Content-Length"]) > 0
        assert is_drawn_upon(answer.content)


@needs_curl
def test_the_lines_of_test_sh(base: str, address: str) -> None:
    posted = curl("-X", "POST", "-F", f"image_file=@{DOG}", "-F", "threshold=0.25", f"{base}detect")
    quoted = address.replace(":", "%3A").replace("/", "%2F")
    assert curl("-X", "GET", f"{base}detect?url={quoted}") == posted
    assert posted.startswith(b'[["')


def test_the_notebooks_client(base: str) -> None:
    with DOG.open("rb") as file:
        answer = requests.post(f"{base}predict?model=yolov3-tiny", files={"file": file}, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert is_drawn_upon(answer.content)
    refused = requests.post(f"{base}predict?model=yolov3-tiny", files={"file": ("dog.gif", b"GIF89a")}, timeout=60)
    assert (refused.status_code, refused.json()) == (415, {"detail": "Unsupported file provided."})


@needs_curl
def test_the_line_that_calls_the_function(base: str) -> None:
    lines = subprocess.run(["base64", DOG], capture_output=True, check=True, timeout=10).stdout
    assert b"\n" in lines.strip()
    found = json.loads(curl("--data-binary", "@-", f"{base}functions/ssd-image", sent=lines))
    assert found != []
    for one in found:
        assert set(one) == {"class", "confidence", "xmin", "ymin", "xmax", "ymax"}
        assert 1 <= int(one["class"]) <= 3
        assert 0.5 <= float(one["confidence"]) <= 1
        assert 0 <= int(one["xmin"]) <= int(one["xmax"]) <= 768
        assert 0 <= int(one["ymin"]) <= int(one["ymax"]) <= 576


def test_the_client_of_tensorflow_serving(base: str) -> None:
    data = base64.b64encode(DOG.read_bytes()).decode()
    sent = {"signature_name": "serving_default", "instances": [{"b64": data}]}
    answer = requests.post(f"{base}v1/models/yolov3-tiny:predict", json=sent, timeout=60)
    (row,) = answer.json()["predictions"]
    found = own(base, answer)
    assert row["num_detections"] == len(found) > 0
    assert [len(row[name]) for name in ("detection_boxes", "detection_classes", "detection_scores")] == [100] * 3
    assert row["detection_scores"][: len(found)] == [one["confidence"] for one in found]
    y1, x1, y2, x2 = row["detection_boxes"][0]
    box = found[0]["box"]
    assert (x1 * 768, y1 * 576) == pytest.approx((box["x"], box["y"]))
    assert ((x2 - x1) * 768, (y2 - y1) * 576) == pytest.approx((box["width"], box["height"]))
    status = requests.get(f"{base}v1/models/yolov3-tiny", timeout=10).json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"

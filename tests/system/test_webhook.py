"""A webhook through the whole service: sent by the real worker, verified by the library that receivers use."""

from __future__ import annotations

import io
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from PIL import Image
from standardwebhooks import Webhook

from tests.system.conftest import Start

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_end_of_a_job_is_told_and_signed(start: Start) -> None:
    got: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            got.put(({name.lower(): value for name, value in self.headers.items()}, body))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.2", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack = start(webhook_secret=SECRET, webhook_http="true", fetch_allow="127.0.0.2/32")
    image = Image.new("RGB", (32, 32))
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}") as client:
        hook = {"url": f"http://127.0.0.2:{server.server_port}/hook"}
        answer = client.post("/jobs", files={"file": _png(image)}, data={"webhook": json.dumps(hook)})
        job = answer.json()["id"]
        headers, body = got.get(timeout=20)
        Webhook(SECRET).verify(body, headers)
        told = json.loads(body)
        assert told["type"] == "job.succeeded"
        assert told["data"] == client.get(f"/jobs/{job}").json()
        assert headers["webhook-id"] == f"{job}.job.succeeded"
        (log,) = client.get(f"/jobs/{job}/deliveries").json()["deliveries"]
        again = f"/jobs/{job}/deliveries/{log['id']}/redeliver"
        assert client.post(again).status_code == 202
        headers, body = got.get(timeout=20)
        Webhook(SECRET).verify(body, headers)
        assert (headers["webhook-id"], json.loads(body)) == (log["id"], told)
        tested = client.post("/webhooks/test", json={"url": hook["url"]}, timeout=30).json()
        headers, body = got.get(timeout=20)
        Webhook(SECRET).verify(body, headers)
        assert json.loads(body)["type"] == "webhook.test"
        assert (tested["id"], tested["state"], tested["status"]) == (headers["webhook-id"], "delivered", 204)
        forbidden = client.post("/webhooks/test", json={"url": "http://127.0.0.1:6379/"}, timeout=30).json()
        outcome = tuple(forbidden[field] for field in ("state", "error", "latency_ms"))
        assert outcome == ("failed", "address_forbidden", None)
        closed = {"url": f"http://127.0.0.1:{server.server_port}/hook"}
        client.post("/jobs", files={"file": _png(image)}, data={"webhook": json.dumps(closed)})
        with pytest.raises(queue.Empty):
            got.get(timeout=2)
    server.shutdown()
    server.server_close()


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()

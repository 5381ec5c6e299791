"""What clients do in a soak run: errands, each a short story of requests of which every answer is known beforehand.

A new kind of errand is a function and a line in `ERRANDS`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from bench.faults.visitor import FORM, Visitor, Wrong, form, zipped

FAILED = frozenset({"failed"})
RAW = "application/octet-stream"


def _upload(me: Visitor) -> None:
    me.end(me.post(me.picture(), RAW))


def _known(me: Visitor) -> None:
    me.end(me.post(me.known_picture(), RAW))


def _form(me: Visitor) -> None:
    files = [("file", me.picture()) for _ in range(me.dice.randint(1, 3))]
    me.end(me.post(form(files, {"threshold": "0.3"}), FORM))


def _base64(me: Visitor) -> None:
    sent = {"image": {"base64": base64.b64encode(me.picture()).decode()}}
    me.ask("GET", f"/jobs/{me.end(me.post(sent))['id']}?format={me.dice.choice(('coco', 'csv', 'voc', 'roboflow'))}")


def _url(me: Visitor) -> None:
    me.end(me.post({"image": {"url": me.url()}}))


def _at_once(me: Visitor) -> None:
    answer = me.ask("POST", "/jobs", {"image": {"url": me.url()}}, {"Prefer": "wait=20"}, right=(200, 202))
    job = str(answer.json()["id"])
    me.promised(job)
    me.end(job)


def _bulk(me: Visitor) -> None:
    sources = me.urls(10, 60)
    job = me.post({"images": sources})
    me.ask("GET", f"/jobs/{job}/results?limit=5")
    me.end(job)
    if len(me.ask("GET", f"/jobs/{job}/results").body.splitlines()) != len(sources):
        raise Wrong("results of a bulk job are missing")
    me.ask("GET", f"/jobs/{job}/export?format={me.dice.choice(('coco', 'yolo', 'csv'))}")


def _zip(me: Visitor) -> None:
    me.end(me.post(zipped([me.picture() for _ in range(me.dice.randint(3, 12))]), "application/zip"))


def _draw(me: Visitor) -> None:
    job = me.post(me.picture(), RAW, "?draw=true")
    me.end(job)
    me.ask("GET", f"/jobs/{job}/pictures/0?draw=true", headers={"Accept": "image/jpeg"})


def _bad(me: Visitor) -> None:
    broken = me.dice.choice((me.dice.randbytes(3000), me.picture()[:-400], b"GIF89a"))
    job = me.post(broken, RAW)
    me.end(job, FAILED)
    if me.dice.random() < 0.5:
        me.ask("POST", f"/jobs/{job}/retry", right=(202,))
        me.end(job, FAILED)


def _unreachable(me: Visitor) -> None:
    job = me.post({"image": {"url": me.dead_url}})
    me.end(job, FAILED)
    me.ask("POST", f"/jobs/{job}/retry", right=(202,))
    me.end(job, FAILED)


def _cancel(me: Visitor) -> None:
    job = me.post({"images": me.urls(40, 80)})
    me.pause(1)
    if me.ask("POST", f"/jobs/{job}/cancel", right=(200, 409)).status == 409:
        me.end(job)
        return
    me.end(job, {"canceled"})
    if me.dice.random() < 0.5:
        me.ask("POST", f"/jobs/{job}/retry", right=(202,))
        me.end(job)


def _delete(me: Visitor) -> None:
    job = me.post(zipped([me.picture() for _ in range(5)]), "application/zip")
    if me.dice.random() < 0.5:
        me.end(job)
    me.ask("DELETE", f"/jobs/{job}", right=(204,))
    me.ask("GET", f"/jobs/{job}", right=(404,))
    with me.notes.lock:
        me.notes.ended[job] = "deleted"


def _late(me: Visitor) -> None:
    me.end(me.post({"images": me.urls(60, 100), "deadline_s": 1}), {"expired", "succeeded"})


def _webhook(me: Visitor) -> None:
    job = me.post({"image": {"url": me.url()}, "webhook": {"url": me.hook_url, "events": ["job.succeeded"]}})
    me.to_be_told(job, me.end(job)["status"])
    me.ask("GET", f"/jobs/{job}/deliveries")


def _again(me: Visitor) -> None:
    sent = {"image": {"url": me.url()}}
    job = me.post(sent, Idempotency_Key=me.name)
    again = me.ask("POST", "/jobs", sent, {"Idempotency-Key": me.name}, right=(202,))
    if again.json()["id"] != job or again.headers.get("idempotent-replayed") != "true":
        raise Wrong("a repeated request made another job")
    with me.notes.lock:
        me.notes.keys += 1
    me.end(job)


def _put(me: Visitor) -> None:
    job, sent = f"job_{me.name}", {"image": {"url": me.url()}}
    for status in (201, 200):
        me.ask("PUT", f"/jobs/{job}", sent, right=(status,))
    me.promised(job)
    me.end(job)


def _browse(me: Visitor) -> None:
    page = me.ask("GET", f"/jobs?limit={me.dice.randint(1, 100)}&status=succeeded").json()
    if page["next"]:
        me.ask("GET", f"/jobs?after={page['next']}")
    for path in ("/deliveries", "/models", "/models/yolov3-tiny", "/metrics", "/readyz", "/admin/dead"):
        me.ask("GET", path)
    if page["jobs"]:
        path = f"/jobs/{page['jobs'][0]['id']}"
        seen = me.ask("GET", path, right=(200, 404))
        if seen.status == 200:
            me.ask("GET", path, headers={"If-None-Match": seen.headers["etag"]}, right=(304, 404))


def _odd(me: Visitor) -> None:
    me.ask("POST", "/jobs", b"{", {"Content-Type": "application/json"}, right=(400,))
    me.ask("POST", "/jobs", {"images": []}, right=(422,))
    me.ask("POST", "/jobs", {"image": {"url": me.url()}, "model": "nobody"}, right=(422,))
    me.ask("GET", "/jobs/job_nobody", right=(404,))
    me.ask("POST", "/jobs", {"image": {"url": me.url()}}, {"Authorization": "Bearer x"}, right=(401,))


def _foreign(me: Visitor) -> None:
    body = form([("image", me.picture())], {"api_key": me.key})
    me.ask("POST", "/v1/vision/detection", body, {"Content-Type": FORM})


ERRANDS: dict[str, tuple[Callable[[Visitor], None], int]] = {
    "upload": (_upload, 20),
    "known": (_known, 10),
    "form": (_form, 8),
    "base64": (_base64, 8),
    "url": (_url, 10),
    "atonce": (_at_once, 6),
    "bulk": (_bulk, 3),
    "zip": (_zip, 3),
    "draw": (_draw, 4),
    "bad": (_bad, 4),
    "unreachable": (_unreachable, 3),
    "cancel": (_cancel, 2),
    "delete": (_delete, 4),
    "late": (_late, 1),
    "webhook": (_webhook, 8),
    "again": (_again, 6),
    "put": (_put, 4),
    "browse": (_browse, 4),
    "odd": (_odd, 2),
    "foreign": (_foreign, 4),
}
"""By name: what is done, and how often among the others."""

"""`spotter jobs ...`, and what `spotter detect` sends and brings in other forms, against the API itself."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner, Result

from spotter import Spotter, SpotterApiError
from spotter.cli import app
from spotter.errors import StackError
from tests.api.formats.samples import DOG, picture
from tests.shared.store_samples import bad

URL = "https://example.com/dog.jpg"


def run(api: httpx.Client, *arguments: str) -> Result:
    """The command, in this process; what would be one sentence of `main` stays an exception."""
    return CliRunner().invoke(app, [*arguments, "--url", str(api.base_url)], env={"COLUMNS": "160"})


def test_a_job_is_sent_listed_and_shown(api: httpx.Client, service: Spotter) -> None:
    sent = run(api, "detect", URL, "--no-wait", "--id", "job_mine", "--priority", "high")
    assert (sent.exit_code, sent.stdout) == (0, "job_mine\n")
    other = service.submit(URL, metadata={"camera": "7"}).id
    listed = run(api, "jobs", "list", "--status", "queued").stdout.splitlines()
    assert [line.split()[:4] for line in listed[1:]] == [[job, "queued", "m", "1"] for job in (other, "job_mine")]
    assert "job_mine" not in run(api, "jobs", "list", "--metadata", "camera=7").stdout
    assert run(api, "jobs", "list", "--metadata", "camera").exit_code == 2
    assert json.loads(run(api, "jobs", "show", "job_mine").stdout)["id"] == "job_mine"


def test_a_job_is_canceled_tried_again_and_deleted(api: httpx.Client, service: Spotter) -> None:
    job = service.submit(URL).id
    for command, status in (("cancel", "canceled"), ("retry", "queued")):
        done = run(api, "jobs", command, job)
        assert (done.exit_code, done.stderr) == (0, f"spotter: {job} is {status}: 0 of 1 pictures succeeded.\n")
    assert run(api, "jobs", "delete", job).stderr == f"spotter: {job} is deleted.\n"
    gone = run(api, "jobs", "show", job)
    assert isinstance(gone.exception, SpotterApiError)


def test_a_job_is_watched_to_its_end(api: httpx.Client, service: Spotter, worker: Any) -> None:
    job = service.submit({"url": URL, "id": "yard"}, URL, URL).id
    worker.finish(worker.take()[0], picture(DOG, DOG).model_copy(update={"id": "yard"}))
    worker.finish(worker.take()[0], picture(index=1))
    worker.finish(worker.take()[0], bad(2))
    watched = run(api, "jobs", "watch", job)
    assert watched.exit_code == 0, "a job is failed only where every picture failed"
    assert [line[10:] for line in watched.stdout.splitlines()] == [
        "queued",
        "running",
        "yard: 2 dog",
        "picture 1: nothing found",
        "picture 2: It is not a picture. (invalid_image)",
        "succeeded  2 of 3 pictures succeeded",
    ]
    lines = [json.loads(line) for line in run(api, "jobs", "watch", job, "--json").stdout.splitlines()]
    assert [line["event"] for line in lines] == ["queued", "running", "picture", "picture", "picture", "succeeded"]
    canceled = service.cancel(service.submit(URL).id).id
    assert run(api, "jobs", "watch", canceled).exit_code == 1


def test_a_zip_is_detected_picture_by_picture(api: httpx.Client, dogs: None, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shots.zip", "w") as made:
        for number in range(101):  # more than a job shows inside itself
            made.writestr(f"{number:03}.jpg", b"\xff\xd8 a picture")
    found = run(api, "detect", str(tmp_path / "shots.zip"), "--json")
    assert found.exit_code == 0, found.output
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["picture"] for line in lines] == [f"{number:03}.jpg" for number in range(101)]
    assert {line["detections"][0]["label"] for line in lines} == {"dog"}
    form = run(api, "detect", str(tmp_path / "shots.zip"), "--format", "deepstack")
    assert len(form.stdout.splitlines()) == 101
    to = tmp_path / "coco.json"
    assert run(api, "detect", str(tmp_path / "shots.zip"), "--format", "coco", "--to", str(to)).exit_code == 0
    assert len(json.loads(to.read_text())["annotations"]) == 101


def test_pictures_in_a_form_are_one_job(api: httpx.Client, dogs: None, tmp_path: Path) -> None:
    one = json.loads(run(api, "detect", URL, "--format", "roboflow").stdout)
    assert one["predictions"][0]["class"] == "dog"
    assert run(api, "detect", URL, "--format", "yolo").stdout == "0 0.329427 0.640625 0.335938 0.517361\n"
    table = run(api, "detect", URL, URL, "--format", "csv").stdout.splitlines()
    assert len(table) == 3
    run(api, "detect", URL, URL, "--format", "voc", "--to", str(tmp_path))
    (data_set,) = tmp_path.iterdir()
    assert zipfile.is_zipfile(data_set)
    shown = run(api, "jobs", "export", data_set.name.partition(".")[0], "--format", "voc")
    assert shown.stdout_bytes == data_set.read_bytes()


def test_what_cannot_be_one_job_is_a_sentence(api: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"")
    for arguments in (
        ["detect", URL, str(tmp_path / "a.zip"), "--format", "coco"],
        ["detect", "--local", URL, "--no-wait"],
    ):
        refused = run(api, *arguments)
        assert isinstance(refused.exception, StackError), refused.output


def test_a_failed_picture_in_a_form_is_exit_code_1(api: httpx.Client, service: Spotter, worker: Any) -> None:
    job = service.submit(URL, URL, job_id="job_half")
    worker.finish(worker.take()[0], picture(DOG))
    worker.finish(worker.take()[0], bad(1))
    again = run(api, "detect", URL, URL, "--id", job.id, "--format", "csv")
    assert again.exit_code == 1
    assert again.stderr == "spotter: job_half is succeeded: 1 of 2 pictures succeeded.\n"

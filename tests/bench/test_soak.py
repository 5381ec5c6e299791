"""The soak must be able to find what grows: its lines, its names of keys, and its clients' judgement."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.faults.client import Answer, Client
from bench.faults.errands import ERRANDS
from bench.faults.gauges import Gauges, Series, family, trend
from bench.faults.ledger import Ledger
from bench.faults.soak import drift
from bench.faults.visitor import Notes, Visitor, Wrong, form, zipped

HALF_AN_HOUR = [5.0 * k for k in range(361)]


def noisy(at: list[float], base: float, slope: float, noise: float) -> Series:
    """A line with a saw-tooth of `noise` to both sides, which has no trend of its own."""
    return [(moment, base + slope * moment + (noise if k % 2 else -noise)) for k, moment in enumerate(at)]


def test_a_line_goes_through_the_last_two_thirds_alone() -> None:
    """By hand: 3 a second from the third moment on is 1,800 in ten minutes, and 3 x 4 s over these five moments."""
    found = trend([(0, 900), (1, 0), (2, 6), (3, 9), (4, 12), (5, 15), (6, 18)])
    assert found.per_10_min == pytest.approx(1800)
    assert found.rise == pytest.approx(12)
    assert found.mean == pytest.approx(12)
    assert found.noise == pytest.approx(0, abs=1e-9)
    assert found.percent == pytest.approx(15_000)


@pytest.mark.parametrize(("slope", "flat"), [(0.0, True), (-1.0, True), (2 / 1200, True), (13 / 1200, False)])
def test_a_rise_counts_when_it_is_more_than_the_noise(slope: float, flat: bool) -> None:
    """Noise of 6 to both sides has a standard deviation of 6, and 20 minutes lie on the line."""
    assert trend(noisy(HALF_AN_HOUR, 100, slope, 6)).within_noise is flat


@pytest.mark.parametrize(
    ("key", "name"),
    [("spotter:job:job_1", "job"), ("spotter:expiry", "expiry"), ("spotter:hook:job_1.job.failed", "hook"),
     ("_kombu.binding.spotter", "_kombu"), ("spotter.detect.m", "spotter"), ("unacked", "unacked")],
)  # fmt: skip
def test_keys_have_families(key: str, name: str) -> None:
    assert family(key) == name


def gauges(**series: Series) -> Gauges:
    made = Gauges.__new__(Gauges)
    made.series = {name.replace("_", " "): one for name, one in series.items()}
    return made


def test_what_is_not_flat_is_named() -> None:
    flat = noisy(HALF_AN_HOUR, 100, 0, 1)
    series = {name: flat for name in ("api_MB", "valkey_MB", "store_used_MB", "api_threads", "valkey_threads")}
    series |= {"api_files": flat, "valkey_files": flat, "store_entries": flat, "keys_job": flat}
    assert drift(gauges(**series), ["api", "valkey"])[1] == []
    # Two per cent in ten minutes for a process; five threads in twenty; a store is judged by its noise.
    series["api_MB"] = noisy(HALF_AN_HOUR, 100, 2.2 / 600, 1)
    series["api_threads"] = noisy(HALF_AN_HOUR, 100, 5 / 1200, 1)
    series["valkey_MB"] = noisy(HALF_AN_HOUR, 100, 8 / 1200, 5)
    series["keys_job"] = noisy(HALF_AN_HOUR, 100, 12 / 1200, 5)
    words, risen = drift(gauges(**series), ["api", "valkey"])
    assert risen == ["api MB", "api threads", "keys job"]
    # By hand: the middle of the last two thirds, half a saw-tooth aside, is at 1,200 s: 100 + 5.
    assert words["api threads"] == "105 (+5.0)"


class Script(Client):
    """Answers with what it was given, one after the other."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        super().__init__(0)
        self._answers = list(answers)

    def ask(self, *_: object, **__: object) -> Answer:
        status, body = self._answers.pop(0)
        return Answer(status, {}, body.encode())


def visitor(tmp_path: Path, *answers: tuple[int, str]) -> Visitor:
    ledger = Ledger(tmp_path / "ledger")
    return Visitor(
        Script(*answers), ledger, Notes(), random.Random(1), "url-1",
        known=[], picture_url=str, dead_url="", hook_url="", key="",
    )  # fmt: skip


ACCEPTED, ENDED = (202, '{"id": "job_1"}'), (200, '{"status": "succeeded"}')


def test_an_errand_follows_its_job(tmp_path: Path) -> None:
    me = visitor(tmp_path, ACCEPTED, *[ENDED] * 8)
    me.dice.seed(3)
    me.end(me.post({}))
    assert me.notes.ended == {"job_1": "succeeded"}
    assert '"job_1"' in (tmp_path / "ledger").read_text()


@pytest.mark.parametrize(
    ("answers", "what"),
    [([(503, "{}")], "POST /jobs 503"), ([ACCEPTED, *[(404, "{}")] * 8], "GET /jobs/ID 404")],
)
def test_an_answer_that_is_not_known_to_be_right_is_wrong(
    tmp_path: Path, answers: list[tuple[int, str]], what: str
) -> None:
    me = visitor(tmp_path, *answers)
    me.dice.seed(3)
    with pytest.raises(Wrong, match=what):
        me.end(me.post({}))
    assert me.notes.ended == {}


def test_another_end_than_the_right_one_is_wrong(tmp_path: Path) -> None:
    me = visitor(tmp_path, *[(200, '{"status": "failed", "results": []}')] * 8)
    me.dice.seed(3)
    with pytest.raises(Wrong, match="ended as failed"):
        me.end("job_1")


def test_bodies_are_what_they_say(tmp_path: Path) -> None:
    me = visitor(tmp_path)
    assert zipped([me.picture()]).startswith(b"PK")
    body = form([("image", b"bytes")], {"a": "1"})
    assert body.count(b"--soak-form-boundary") == 3
    assert body.endswith(b"--\r\n")
    assert me.picture() != me.picture()
    assert all(weight > 0 for _, weight in ERRANDS.values())

"""What may be asked for while workers agree, while they do not, and while there are none."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.offers import Offer, offers, resolve
from api.state import OFFERS_CACHE_S
from shared.errors import UnknownModel
from shared.reports import Fleet, LoadedVersion, ServedModel, WorkerReport
from shared.settings import Settings


def model(default: str | None, *versions: str, name: str = "m", **aliases: str) -> ServedModel:
    loaded = tuple(LoadedVersion(version=v, provider="cpu", precision="fp32", max_batch=8) for v in versions)
    return ServedModel(name=name, default=default, aliases=aliases, loaded=loaded)


def fleet(*live: ServedModel, heard: tuple[ServedModel, ...] = ()) -> Fleet:
    reports = tuple(
        WorkerReport(worker=f"w{k}", host="h", pid=k, started_ms=0, progress_ms=0, busy=0, models=(one,))
        for k, one in enumerate(live)
    )
    return Fleet(reports, {one.name: one for one in heard})


def test_workers_that_roll_out_at_different_times_offer_everything_together() -> None:
    old, new = model("1", "1", stable="1"), model("2", "1", "2", stable="2", canary="2")
    assert offers(fleet(old, old, new)) == {"m": Offer("m", "1", {"canary": "2", "stable": "1"}, ("1", "2"))}
    assert offers(fleet(old, new, new)) == {"m": Offer("m", "2", {"canary": "2", "stable": "2"}, ("1", "2"))}
    assert offers(fleet(old, new))["m"].default == "2"
    assert offers(fleet(model("9", "9"), model("10", "10")))["m"] == Offer("m", "10", {}, ("9", "10"))


def test_what_was_heard_counts_only_while_no_live_worker_speaks_of_it() -> None:
    before = model("1", "1", stable="1")
    assert offers(fleet(heard=(before,)))["m"] == Offer("m", "1", {"stable": "1"}, ("1",))
    assert offers(fleet(model("2", "2"), heard=(before,)))["m"] == Offer("m", "2", {}, ("2",))
    assert offers(fleet(model(None), heard=(before,)))["m"] == Offer("m", None, {}, ())


KNOWN = offers(fleet(model("2", "1", "2", stable="1"), model(None, name="broken")))


@pytest.mark.parametrize(
    ("asked", "reference"),
    [
        (None, "m"), ("m", "m"), ("m@1", "m@1"), ("m@stable", "m@1"), ("m@default", "m@2"),
    ],
)  # fmt: skip
def test_a_job_waits_for_a_name_or_for_a_version(asked: str | None, reference: str) -> None:
    assert resolve(asked, "m", KNOWN) == reference


def test_the_default_model_is_taken_on_trust() -> None:
    assert resolve(None, "later", KNOWN) == resolve("later", "later", KNOWN) == "later"


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        ("n", "No worker serves n; there are: m."),
        ("broken", "No worker serves broken; there are: m."),
        ("broken@1", "No worker serves broken@1; there are: m."),
        ("m@3", "No worker has m@3 loaded; m has versions 1, 2 and these aliases: stable (1)."),
        ("m@canary", "No worker has m@canary loaded; m has versions 1, 2 and these aliases: stable (1)."),
        ("m@01", "No worker has m@01 loaded; m has versions 1, 2 and these aliases: stable (1)."),
    ],
)
def test_what_nobody_has_loaded_is_refused_with_what_there_is(asked: str, detail: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        resolve(asked, "m", KNOWN)
    assert refused.value.detail == detail


def test_before_any_worker_came_only_the_default_is_taken() -> None:
    with pytest.raises(UnknownModel, match="there are: none yet"):
        resolve("n", "m", offers(fleet()))


def test_what_the_api_still_believes_is_still_loaded() -> None:
    with pytest.raises(ValidationError):
        Settings(retire_s=OFFERS_CACHE_S)

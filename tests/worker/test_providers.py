"""Which provider and precision a model gets: the manifest's word, recorded agreement, and what the machine has."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pytest

from shared.errors import StartupError
from shared.manifest import Agreement, Manifest, Variant
from tests.worker.tiny_onnx import manifest
from worker import hardware
from worker.providers import PROVIDERS, choices

GOOD = Agreement(pictures=100, detections=300, matched=0.95, confidence_drift=0.02)
NOWHERE = Path("model.onnx")


def model(variants: dict[str, Agreement] | None = None, **fields: object) -> Manifest:
    """A model of a family that nothing is known of, with these variants."""
    made = {
        kind: Variant(sha256="0" * 64 if kind == "bf16" else "1" * 64, agreement=one)
        for kind, one in (variants or {}).items()
    }
    return manifest(NOWHERE, variants=made, **{"family": "other", **fields})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with bf16, OpenVINO, and no GPU."""
    monkeypatch.setattr(hardware, "has_bf16", lambda: True)
    have(monkeypatch, "openvino", "cpu")


def have(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name, provider in PROVIDERS.items():
        monkeypatch.setitem(PROVIDERS, name, dataclasses.replace(provider, available=partial(bool, name in names)))


def chosen(
    model: Manifest, provider: str = "auto", precision: str = "auto", trial: bool = False
) -> list[tuple[str, str]]:
    return [(one.name, one.precision) for one in choices(provider, precision, model, trial)]


def test_a_darknet_model_runs_in_bf16_without_a_record() -> None:
    assert chosen(model(family="darknet")) == [("openvino", "bf16"), ("cpu", "fp32")]


def test_any_other_model_runs_in_fp32_until_bf16_is_recorded() -> None:
    assert chosen(model()) == [("openvino", "fp32"), ("cpu", "fp32")]
    assert chosen(model({"bf16": GOOD})) == [("openvino", "bf16"), ("cpu", "fp32")]


def test_a_provider_that_crashes_on_the_model_is_never_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(model(unfit=("openvino",))) == [("cpu", "fp32")]
    with pytest.raises(StartupError, match="cannot run on openvino"):
        chosen(model(unfit=("openvino",)), provider="openvino")
    have(monkeypatch, "cuda", "openvino", "cpu")
    assert chosen(model(unfit=("openvino",))) == [("cuda", "fp32")]


@pytest.mark.parametrize(
    "bad", [{"matched": 0.949}, {"confidence_drift": 0.0201}, {"detections": 0}], ids=lambda bad: next(iter(bad))
)
def test_a_record_that_is_not_close_keeps_fp32(bad: dict[str, float]) -> None:
    poor = GOOD.model_copy(update=bad)
    assert chosen(model({"bf16": poor}, family="darknet"), "openvino") == [("openvino", "fp32")]


def test_a_cpu_without_bf16_takes_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda: False)
    for wish in ({}, {"openvino": "bf16"}):
        assert chosen(model({"bf16": GOOD}, family="darknet", precision=wish), "openvino") == [("openvino", "fp32")]
    with pytest.raises(StartupError, match="no bf16 arithmetic"):
        chosen(model(), "openvino", "bf16")


def test_int8_is_taken_only_on_the_manifest_s_word() -> None:
    assert chosen(model({"int8": GOOD}), "openvino") == [("openvino", "fp32")]
    assert chosen(model({"int8": GOOD}, precision={"openvino": "int8"}), "openvino") == [("openvino", "int8")]
    assert chosen(model({"int8": GOOD}, precision={"openvino": "int8"}), "cpu") == [("cpu", "fp32")]


def test_cuda_takes_fp16_where_it_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, "cuda", "openvino", "cpu")
    assert chosen(model()) == [("cuda", "fp32")], "and no other provider stands in for a GPU"
    assert chosen(model({"fp16": GOOD})) == [("cuda", "fp16")]
    assert chosen(model({"fp16": GOOD.model_copy(update={"matched": 0.5})})) == [("cuda", "fp32")]


def test_the_settings_word_is_taken_or_the_start_fails() -> None:
    poor = Agreement(pictures=1, detections=1, matched=0, confidence_drift=0)
    assert chosen(model({"int8": poor}), "openvino", "int8") == [("openvino", "int8")]
    assert chosen(model(), "openvino", "bf16") == [("openvino", "bf16")]
    assert chosen(model(), precision="bf16") == [("openvino", "bf16")], "the CPU provider does not run it"
    with pytest.raises(StartupError, match="brightness@1 has no int8 variant: run `spotter models optimise"):
        chosen(model(), "openvino", "int8")
    with pytest.raises(StartupError, match="openvino does not run fp16; it runs fp32, bf16, int8"):
        chosen(model(), "openvino", "fp16")


@pytest.mark.parametrize(
    ("word", "text"), [("int8", "has no int8 variant"), ("fp16", "does not run fp16"), ("int3", "does not run int3")]
)
def test_a_word_of_the_manifest_that_cannot_be_kept_anywhere_stops_the_start(word: str, text: str) -> None:
    with pytest.raises(StartupError, match=text):
        chosen(model(precision={"openvino": word}), "openvino")


def test_a_trial_needs_no_record_and_finds_a_provider_that_runs_it() -> None:
    assert chosen(model(), precision="int8", trial=True) == [("openvino", "int8"), ("cpu", "int8")]
    assert chosen(model(), precision="fp16", trial=True) == [("cpu", "fp16")]
    with pytest.raises(StartupError, match="No provider here runs int3"):
        chosen(model(), precision="int3", trial=True)


def test_every_provider_falls_back_to_fp32_and_reads_files_for_what_it_runs() -> None:
    for provider in PROVIDERS.values():
        assert {"fp32", *provider.fastest(), *provider.files} <= set(provider.options)
        assert "fp32" not in provider.files

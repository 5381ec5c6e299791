"""Which execution provider runs a model here, and in which arithmetic. Knows this machine, the settings' words and what
`model.json` says of a model's variants; loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import onnxruntime

from shared.errors import StartupError
from shared.manifest import Manifest
from worker import hardware, nvidia
from worker.plan import Share

Precision: TypeAlias = Literal["fp32", "bf16", "fp16", "int8"]
Options: TypeAlias = dict[str, str]


KEEPS_BF16 = frozenset({"darknet"})
"""Families whose conversion is made for bf16 arithmetic (decision 5), so that `auto` takes it without a measurement."""


@dataclass(frozen=True)
class Provider:
    """One way to run a model.

    Attributes:
        ep: ONNX Runtime's name for it.
        available: whether this installation and this machine have it.
        fastest: the precisions that `auto` tries on this machine, best first; fp32 where none of them will do.
        options: the provider's options by every precision that it runs.
        files: the precisions that need a graph of their own, `model.<precision>.onnx`; it computes the others from
            `model.onnx`.
        whole_graph: no part of the model may run elsewhere. CUDA leaves shape arithmetic to the CPU by design.
        spare: under `auto`, a model that this provider cannot run goes to the next one: same device, same results,
            only slower. So never CUDA: a service without its GPU must not start.
        gpu: it computes beside the CPU.
        beside: a second provider that takes what this one leaves, and its options.
        by_name: `auto` leaves it alone: its first start builds for minutes.
    """

    ep: str
    available: Callable[[], bool]
    fastest: Callable[[], tuple[Precision, ...]]
    options: Mapping[Precision, Callable[[Share], Options]]
    files: frozenset[Precision]
    whole_graph: bool
    spare: bool = False
    gpu: bool = False
    beside: tuple[str, Callable[[Share], Options]] | None = None
    by_name: bool = False


def _compiled_in(ep: str) -> bool:
    return ep in onnxruntime.get_available_providers()


def _openvino(hint: Callable[[], str]) -> Callable[[Share], Options]:
    """OpenVINO's own properties as JSON. The precision is always said: left out, it takes bf16 by itself where the CPU
    can. A stream for each lane; no pinning, since other threads of the process want the cores too.
    """

    def options(share: Share) -> Options:
        properties = {
            "INFERENCE_PRECISION_HINT": hint(),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": str(share.streams),
            "INFERENCE_NUM_THREADS": str(share.threads),
            "ENABLE_CPU_PINNING": "NO",
        }
        return {"device_type": "CPU", "load_config": json.dumps({"CPU": properties})}

    return options


def _none(share: Share) -> Options:
    return {}


PROVIDERS: dict[str, Provider] = {
    "cuda": Provider(
        ep="CUDAExecutionProvider",
        available=lambda: _compiled_in("CUDAExecutionProvider") and hardware.cuda_devices() > 0,
        fastest=lambda: ("fp16",),
        options={"fp32": nvidia.cuda, "fp16": nvidia.cuda},
        files=frozenset({"fp16"}),
        whole_graph=False,
        gpu=True,
    ),
    "tensorrt": Provider(
        ep="TensorrtExecutionProvider",
        available=lambda: _compiled_in("TensorrtExecutionProvider") and nvidia.has_tensorrt(),
        fastest=lambda: ("fp16",),
        options={"fp32": partial(nvidia.tensorrt, fp16=False), "fp16": partial(nvidia.tensorrt, fp16=True)},
        files=frozenset({"fp16"}),
        whole_graph=False,
        gpu=True,
        beside=("CUDAExecutionProvider", nvidia.cuda),
        by_name=True,
    ),
    "openvino": Provider(
        ep="OpenVINOExecutionProvider",
        available=lambda: _compiled_in("OpenVINOExecutionProvider"),
        fastest=lambda: ("bf16",),
        options={
            "fp32": _openvino(lambda: "f32"),
            "bf16": _openvino(lambda: "bf16"),
            # What an int8 graph leaves in floating point runs in what the CPU does best.
            "int8": _openvino(lambda: "bf16" if hardware.has_bf16() else "f32"),
        },
        files=frozenset({"int8"}),
        whole_graph=True,
        spare=True,
    ),
    "cpu": Provider(
        ep="CPUExecutionProvider",
        available=lambda: True,
        fastest=lambda: (),
        # Its kernels compute in fp32: fp16 and int8 graphs give their results here, but no speed.
        options={"fp32": _none, "fp16": _none, "int8": _none},
        files=frozenset({"fp16", "int8"}),
        whole_graph=True,
    ),
}
"""In the order in which `auto` tries them."""


@dataclass(frozen=True)
class Choice:
    """A key of `PROVIDERS` and one of its precisions."""

    name: str
    precision: Precision

    @property
    def provider(self) -> Provider:
        """What the name stands for."""
        return PROVIDERS[self.name]


def choices(provider: str, precision: str, manifest: Manifest, trial: bool = False) -> list[Choice]:
    """How to run the model, best first. More than one only where the provider is `auto`; then each but the last is
    `spare`.

    Args:
        provider: `auto` or a key of `PROVIDERS`.
        precision: `auto` or one that the provider runs. `auto` takes the manifest's word for the provider, else the
            fastest that is known to keep the results, else fp32.
        trial: a variant is tried before it is in the manifest, on the first provider that runs it.

    Raises:
        StartupError: what was asked for by name cannot be had here.
    """
    if provider in manifest.unfit:
        raise StartupError(f"{manifest.name} cannot run on {provider}, which crashes on models like it: use auto.")
    if provider != "auto":
        return [Choice(provider, _precision(_named(provider), provider, precision, manifest, trial))]
    fit = {name: one for name, one in _automatic() if name not in manifest.unfit}
    here = [name for name, one in fit.items() if not trial or precision in one.options]
    if not here:
        raise StartupError(f"No provider here runs {precision}.")
    found: list[Choice] = []
    for name in here:
        if found and precision != "auto" and precision not in PROVIDERS[name].options:
            continue
        found.append(Choice(name, _precision(PROVIDERS[name], name, precision, manifest, trial)))
        if not PROVIDERS[name].spare:
            break
    return found


def computes_on_gpu(provider: str) -> bool:
    """Whether models run on a GPU under this word of the settings, as far as that can be told before one is loaded."""
    return any(one.gpu for _, one in _automatic()) if provider == "auto" else PROVIDERS[provider].gpu


def _automatic() -> Iterator[tuple[str, Provider]]:
    """What `auto` has here, best first."""
    return ((name, one) for name, one in PROVIDERS.items() if not one.by_name and one.available())


def _named(asked: str) -> Provider:
    if asked not in PROVIDERS:
        raise StartupError(f"There is no provider {asked}: use auto, {', '.join(PROVIDERS)}.")
    if not PROVIDERS[asked].available():
        have = [name for name, provider in PROVIDERS.items() if provider.available()]
        raise StartupError(f"Provider {asked} is not available here; {', '.join(have)} would be.")
    return PROVIDERS[asked]


def _precision(provider: Provider, name: str, asked: str, manifest: Manifest, trial: bool) -> Precision:
    if asked == "auto":
        return _fastest(provider, name, manifest)
    exact = _runs(provider, name, asked)
    if exact == "bf16" and not hardware.has_bf16():
        raise StartupError("This CPU has no bf16 arithmetic (avx512_bf16 or amx_bf16): use fp32.")
    if exact in provider.files and exact not in manifest.variants and not trial:
        raise StartupError(_missing(manifest, exact))
    return exact


def _fastest(provider: Provider, name: str, manifest: Manifest) -> Precision:
    """The manifest's word, which may be one that only other machines can keep; else what is known to agree."""
    if (word := manifest.precision.get(name, "auto")) != "auto":
        wish = _runs(provider, name, word)
        if wish in provider.files and wish not in manifest.variants:
            raise StartupError(_missing(manifest, wish))
        if wish != "bf16" or hardware.has_bf16():
            return wish
    known = (precision for precision in provider.fastest() if _known(provider, precision, manifest))
    return next(known, "fp32")


def _known(provider: Provider, precision: Precision, manifest: Manifest) -> bool:
    if precision == "bf16" and not hardware.has_bf16():
        return False
    variant = next((one for kind, one in manifest.variants.items() if kind == precision), None)
    if variant is not None:
        return variant.agreement.close
    return precision == "bf16" and precision not in provider.files and manifest.family in KEEPS_BF16


def _runs(provider: Provider, name: str, asked: str) -> Precision:
    runs: Iterable[Precision] = provider.options
    if (exact := next((one for one in runs if one == asked), None)) is None:
        raise StartupError(f"Provider {name} does not run {asked}; it runs {', '.join(provider.options)}.")
    return exact


def _missing(manifest: Manifest, precision: str) -> str:
    return (
        f"{manifest.name}@{manifest.version} has no {precision} variant: run `spotter models optimise"
        f" {manifest.name} --precision {precision}`, or use precision auto."
    )

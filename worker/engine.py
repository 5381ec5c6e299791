"""A model file -> a warmed ONNX Runtime session -> outputs for frames. Knows execution providers and precisions; knows
neither queues nor what outputs mean. Nothing falls back in silence: what was asked for runs, or the process ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from shared.errors import InferenceFailed, StartupError
from shared.manifest import Manifest
from worker import hardware
from worker.output import Output

Frames: TypeAlias = NDArray[np.uint8 | np.float32]
Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
Options: TypeAlias = dict[str, str]


class Node(Protocol):
    """An input or output of a graph."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class Session(Protocol):
    """What is used of `onnxruntime.InferenceSession`, which has no types of its own."""

    def get_inputs(self) -> list[Node]: ...
    def get_outputs(self) -> list[Node]: ...
    def run(self, names: list[str], feed: dict[str, Frames], /) -> list[NDArray[np.float32]]: ...


@dataclass(frozen=True)
class Provider:
    """One way to run a model.

    Attributes:
        ep: ONNX Runtime's name for it.
        available: whether this installation and this machine have it.
        fastest: the precision that `auto` takes on this machine.
        options: the provider's options by precision, from (threads, device_id).
        whole_graph: no part of the model may run elsewhere. CUDA leaves shape arithmetic to the CPU by design.
    """

    ep: str
    available: Callable[[], bool]
    fastest: Callable[[], Precision]
    options: Mapping[Precision, Callable[[int, int], Options]]
    whole_graph: bool


def _compiled_in(ep: str) -> bool:
    return ep in onnxruntime.get_available_providers()


def _openvino(hint: str) -> Callable[[int, int], Options]:
    """OpenVINO's own properties as JSON. The precision is always said: left out, it takes bf16 by itself where the CPU
    can. One stream, since one batch runs at a time; no pinning, since other threads of the process want the cores too.
    """

    def options(threads: int, device_id: int) -> Options:
        properties = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            "ENABLE_CPU_PINNING": "NO",
        }
        return {"device_type": "CPU", "load_config": json.dumps({"CPU": properties})}

    return options


def _cuda(threads: int, device_id: int) -> Options:
    """Full fp32 (no TF32); a quick choice of convolution kernels, since every batch size would be searched anew."""
    return {"device_id": str(device_id), "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


PROVIDERS: dict[str, Provider] = {
    "cuda": Provider(
        ep="CUDAExecutionProvider",
        available=lambda: _compiled_in("CUDAExecutionProvider") and hardware.cuda_devices() > 0,
        fastest=lambda: "fp32",
        options={"fp32": _cuda},
        whole_graph=False,
    ),
    "openvino": Provider(
        ep="OpenVINOExecutionProvider",
        available=lambda: _compiled_in("OpenVINOExecutionProvider"),
        fastest=lambda: "bf16" if hardware.has_bf16() else "fp32",
        options={"fp32": _openvino("f32"), "bf16": _openvino("bf16")},
        whole_graph=True,
    ),
    "cpu": Provider(
        ep="CPUExecutionProvider",
        available=lambda: True,
        fastest=lambda: "fp32",
        options={"fp32": lambda threads, device_id: {}},
        whole_graph=True,
    ),
}
"""In the order in which `auto` tries them."""


class Engine:
    """A loaded model. `run` is to be called from one thread.

    Attributes:
        manifest: of the model.
        provider: key of `PROVIDERS` that it runs on.
        precision: arithmetic that it runs with.
    """

    def __init__(self, session: Session, manifest: Manifest, provider: str, precision: Precision) -> None:
        self.manifest = manifest
        self.provider = provider
        self.precision = precision
        self._session = session
        self._names = [out.name for out in session.get_outputs()]

    @classmethod
    def load(
        cls, model: Path, manifest: Manifest, provider: str, precision: str, threads: int = 0, device_id: int = 0
    ) -> Engine:
        """Check the file against its manifest, and load it.

        Args:
            model: `model.onnx`.
            provider: `auto` or a key of `PROVIDERS`.
            precision: `auto` or one that the provider has; `auto` takes the manifest's word for this provider, else
                the fastest of this machine that is known to keep the results.
            threads: of one run on a CPU; 0: one for each core that this process may use.
            device_id: which GPU.

        Raises:
            StartupError: the file is not the manifest's, breaks the model contract, or cannot run as asked.
        """
        name = _provider(provider)
        chosen = PROVIDERS[name]
        exact = _precision(name, precision, manifest)
        _check_file(model, manifest)
        threads = threads or hardware.cores()
        try:
            session = onnxruntime.InferenceSession(
                str(model),
                _session_options(threads, chosen),
                providers=[(chosen.ep, chosen.options[exact](threads, device_id))],
            )
        except Exception as error:  # ONNX Runtime raises its own classes, which share no root but this
            raise StartupError(f"{model} cannot be loaded on {name} ({exact}): {error}") from error
        if chosen.ep not in session.get_providers():
            raise StartupError(f"{chosen.ep} did not start; ONNX Runtime offered {session.get_providers()} instead.")
        session.disable_fallback()
        _check_signature(session, manifest)
        return cls(session, manifest, name, exact)

    def warm_up(self, max_batch: int) -> None:
        """Run every batch size once, so that no picture pays for compilation (OpenVINO: 5 to 60 ms for each size).

        Raises:
            StartupError: a run failed or answered something else than finite numbers.
        """
        frame = self.manifest.frame
        noise = np.random.default_rng(0).integers(0, 256, (max_batch, frame.height, frame.width, 3), np.uint8)
        frames: Frames = noise if self.manifest.interpolation == "linear" else noise.astype(np.float32)
        for size in range(1, max_batch + 1):
            try:
                output = self.run(frames[:size])
            except InferenceFailed as error:
                raise StartupError(
                    f"The first run of {self.manifest.name} failed: {error.__cause__ or error}"
                ) from error
            if not (np.isfinite(output.boxes).all() and np.isfinite(output.scores).all()):
                raise StartupError(f"{self.manifest.name} answers numbers that are not finite on {self.provider}.")

    def run(self, frames: Frames, /) -> Output:
        """Frames (N, H, W, 3) RGB, as `image.fit` makes them for this model -> the outputs of N pictures.

        Raises:
            InferenceFailed: the run failed, or did not answer N pictures.
        """
        try:
            arrays = dict(zip(self._names, self._session.run(self._names, {"images": frames}), strict=True))
        except Exception as error:  # see load
            raise InferenceFailed from error
        labels = arrays["labels"].astype(np.int64, copy=False) if "labels" in arrays else None
        output = Output(arrays["boxes"], arrays["scores"], labels)
        if len(output) != len(frames):
            raise InferenceFailed(f"The model answered {len(output)} pictures where {len(frames)} were asked.")
        return output


def _provider(asked: str) -> str:
    if asked == "auto":
        return next(name for name, provider in PROVIDERS.items() if provider.available())
    if asked not in PROVIDERS:
        raise StartupError(f"There is no provider {asked}: use auto, {', '.join(PROVIDERS)}.")
    if not PROVIDERS[asked].available():
        have = [name for name, provider in PROVIDERS.items() if provider.available()]
        raise StartupError(f"Provider {asked} is not available here; {', '.join(have)} would be.")
    return asked


def _precision(name: str, asked: str, manifest: Manifest) -> Precision:
    provider = PROVIDERS[name]
    wanted = manifest.precision.get(name, "auto") if asked == "auto" else asked
    if wanted == "auto":
        return provider.fastest()
    exact = next((precision for precision in provider.options if precision == wanted), None)
    if exact is None:
        raise StartupError(f"Provider {name} does not run {wanted}; it runs {', '.join(provider.options)}.")
    if exact == "bf16" and not hardware.has_bf16():
        raise StartupError("This CPU has no bf16 arithmetic (avx512_bf16 or amx_bf16): use fp32.")
    return exact


def _session_options(threads: int, provider: Provider) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: what matters comes as an exception
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores also decode pictures
    if provider.whole_graph and provider.ep != "CPUExecutionProvider":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _check_file(model: Path, manifest: Manifest) -> None:
    try:
        with model.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StartupError(f"{model} cannot be read: {error.strerror}.") from error
    if found != manifest.sha256:
        raise StartupError(f"{model} is not the file that its model.json describes (sha256 {found}): pull it again.")


FRAMES = {"linear": "tensor(uint8)", "darknet": "tensor(float)"}
"""Type of `images` by the manifest's interpolation; see `image.fit`."""


def _check_signature(session: Session, manifest: Manifest) -> None:
    """The model contract; sizes that the graph leaves open are checked by the first run."""
    frame, classes = manifest.frame, len(manifest.labels)
    wanted: dict[str, tuple[str, list[int | None]]] = {
        "images": (FRAMES[manifest.interpolation], [None, frame.height, frame.width, 3]),
        "boxes": ("tensor(float)", [None, None, 4]),
        "scores": ("tensor(float)", [None, None] if manifest.single_label else [None, None, classes]),
    }
    if manifest.single_label:
        wanted["labels"] = ("tensor(int64)", [None, None])
    found = {node.name: (node.type, list(node.shape)) for node in session.get_inputs() + session.get_outputs()}
    if found.keys() != wanted.keys():
        raise StartupError(f"{manifest.name} has {', '.join(found)} where the contract says {', '.join(wanted)}.")
    for name, (kind, shape) in wanted.items():
        have_kind, have = found[name]
        fits = len(have) == len(shape) and all(
            size == want or not isinstance(size, int) for size, want in zip(have[1:], shape[1:], strict=True) if want
        )
        one_only = have[0] == manifest.max_batch == 1
        if have_kind != kind or not fits or (isinstance(have[0], int) and not one_only):
            raise StartupError(f"{manifest.name}: {name} is {have_kind} {have}, the contract says {kind} {shape}.")

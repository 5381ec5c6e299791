"""A model file -> a warmed ONNX Runtime session -> outputs for frames. Runs what `worker.providers` chooses; knows
neither queues nor what outputs mean. Nothing falls back in silence: what was asked for runs, or the process ends.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from shared.errors import InferenceFailed, StartupError
from shared.manifest import Manifest
from worker import hardware
from worker.nvidia import engine_folder
from worker.output import Output
from worker.pieces import Pieces
from worker.plan import ONE_BY_ONE, Asked, Plan, Share, plan
from worker.providers import Choice, Precision, Provider, choices

WARM_UP_S = 60.0
"""For the threads of a warm-up to come together."""

log = logging.getLogger(__name__)

Frames: TypeAlias = NDArray[np.uint8 | np.float32]


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


class UnfitError(StartupError):
    """The model is what its manifest says, but this provider cannot run it."""


class Engine:
    """A loaded model. `run` is for one thread at a time, `run_in_lane` for as many as the plan has lanes.

    Attributes:
        manifest: of the model.
        provider: key of `PROVIDERS` that it runs on.
        precision: arithmetic that it runs with.
        plan: how it uses the device.
    """

    def __init__(self, whole: Session, lanes: Session, manifest: Manifest, choice: Choice, plan: Plan) -> None:
        self.manifest = manifest
        self.provider = choice.name
        self.precision: Precision = choice.precision
        self.plan = plan
        self._whole_run: Callable[[Frames], Output] = partial(self._run, whole)
        self._lane_run: Callable[[Frames], Output] = partial(self._run, lanes)
        if plan.gpu:
            self._whole_run = self._lane_run = Pieces(self._whole_run, plan.sizes)
        self._names = [out.name for out in whole.get_outputs()]

    @classmethod
    def load(
        cls,
        model: Path,
        manifest: Manifest,
        provider: str,
        precision: str,
        asked: Asked = ONE_BY_ONE,
        trial: Path | None = None,
    ) -> Engine:
        """Choose how to run the model (`worker.providers.choices`), check the file against its manifest, and load it.

        Where the provider is `auto` and the best one cannot run the model although it leaves the results to another on
        the same device, the next one takes it, with a warning in the log.

        Args:
            model: `model.onnx`; its variants lie beside it.
            provider: `auto` or a key of `PROVIDERS`.
            precision: `auto` or one that the provider runs.
            asked: how it is to use the device.
            trial: run this file as the variant of the named precision; it is not in the manifest yet.

        Raises:
            StartupError: the file is not the manifest's, breaks the model contract, or cannot run as asked.
        """
        *spares, last = choices(provider, precision, manifest, trial is not None)
        for spare in spares:
            try:
                engine = cls._open(_file(model, manifest, spare, trial), manifest, spare, asked)
                engine.warm_up(1)  # dynamic shapes may fail only here
                return engine
            except UnfitError as error:
                log.warning("%s@%s goes to the next provider: %s", manifest.name, manifest.version, error.detail)
        return cls._open(_file(model, manifest, last, trial), manifest, last, asked)

    @classmethod
    def _open(cls, file: Path, manifest: Manifest, choice: Choice, asked: Asked) -> Engine:
        how = plan(asked, hardware.cores(), file.stat().st_size, choice.provider.gpu)
        how = replace(how, max_batch=manifest.batch(how.max_batch))
        share = Share(
            threads=how.threads,
            device_id=asked.device_id,
            memory_bytes=asked.memory_bytes,
            max_batch=how.max_batch,
            frame=(manifest.frame.width, manifest.frame.height),
            cache=asked.cache and engine_folder(asked.cache, manifest.name, manifest.version, manifest.sha256),
        )
        whole = lanes = _session(file, choice, share)
        _check_signature(whole, manifest)
        if how.divided:
            lanes = _session(file, choice, replace(share, threads=how.lanes * how.lane_threads, streams=how.lanes))
        return cls(whole, lanes, manifest, choice, how)

    def warm_up(self, max_batch: int) -> None:
        """Run every batch size once, in every lane, so that no picture pays for compilation (OpenVINO: 5 to 60 ms for
        each size). The whole device, where it is beside lanes, only ever sees one frame.

        Raises:
            StartupError: a run failed or answered something else than finite numbers.
        """
        frame = self.manifest.frame
        noise = np.random.default_rng(0).integers(0, 256, (max_batch, frame.height, frame.width, 3), np.uint8)
        frames: Frames = noise if self.manifest.interpolation == "linear" else noise.astype(np.float32)
        self._try(self.run, frames, 1 if self.plan.divided else max_batch)
        if self.plan.lanes > 1:
            with ThreadPoolExecutor(self.plan.lanes) as pool:
                together = threading.Barrier(self.plan.lanes)  # a lane that is done early must not take another's turn

                def lane(_: int) -> None:
                    together.wait(WARM_UP_S)
                    self._try(self.run_in_lane, frames, max_batch)

                list(pool.map(lane, range(self.plan.lanes)))

    def _try(self, run: Callable[[Frames], Output], frames: Frames, max_batch: int) -> None:
        for size in (one for one in self.plan.sizes if one <= max_batch):
            try:
                output = run(frames[:size])
            except InferenceFailed as error:
                raise UnfitError(f"The first run of {self.manifest.name} failed: {error.__cause__ or error}") from error
            if not (np.isfinite(output.boxes).all() and np.isfinite(output.scores).all()):
                raise UnfitError(f"{self.manifest.name} answers numbers that are not finite on {self.provider}.")

    def run(self, frames: Frames, /) -> Output:
        """Frames (N, H, W, 3) RGB, as `image.fit` makes them for this model -> the outputs of N pictures, on the whole
        device.

        Raises:
            InferenceFailed: the run failed, or did not answer N pictures.
        """
        return self._whole_run(frames)

    def run_in_lane(self, frames: Frames, /) -> Output:
        """The same on one lane's share of the device. Raises InferenceFailed."""
        return self._lane_run(frames)

    def _run(self, session: Session, frames: Frames) -> Output:
        try:
            arrays = dict(zip(self._names, session.run(self._names, {"images": frames}), strict=True))
        except Exception as error:  # see _session
            raise InferenceFailed from error
        labels = arrays["labels"].astype(np.int64, copy=False) if "labels" in arrays else None
        output = Output(arrays["boxes"], arrays["scores"], labels)
        if len(output) != len(frames):
            raise InferenceFailed(f"The model answered {len(output)} pictures where {len(frames)} were asked.")
        return output


def _session(file: Path, choice: Choice, share: Share) -> Session:
    chosen = choice.provider
    beside = [(chosen.beside[0], chosen.beside[1](share))] if chosen.beside else []
    try:
        if share.cache is not None:
            share.cache.mkdir(parents=True, exist_ok=True)
        session = onnxruntime.InferenceSession(
            str(file),
            _session_options(share, chosen),
            providers=[(chosen.ep, chosen.options[choice.precision](share)), *beside],
        )
    except Exception as error:  # ONNX Runtime raises its own classes, which share no root but this
        raise UnfitError(f"{file} cannot be loaded on {choice.name} ({choice.precision}): {error}") from error
    if chosen.ep not in session.get_providers():
        raise StartupError(f"{chosen.ep} did not start; ONNX Runtime offered {session.get_providers()} instead.")
    session.disable_fallback()
    return cast(Session, session)


def _session_options(share: Share, provider: Provider) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # The CPU provider's threads: those that call `run` compute too, and the pool has one fewer than it is told.
    options.intra_op_num_threads = share.threads - share.streams + 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: what matters comes as an exception
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores also decode pictures
    if provider.whole_graph and provider.ep != "CPUExecutionProvider":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _file(model: Path, manifest: Manifest, choice: Choice, trial: Path | None) -> Path:
    """The graph for the precision, its bytes checked against the manifest."""
    if trial is not None:
        return trial
    path, sha256 = model, manifest.sha256
    variant = next((one for kind, one in manifest.variants.items() if kind == choice.precision), None)
    if variant is not None and choice.precision in choice.provider.files:
        path, sha256 = model.with_name(f"model.{choice.precision}.onnx"), variant.sha256
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}.") from error
    if found != sha256:
        raise StartupError(f"{path} is not the file that its model.json describes (sha256 {found}): pull it again.")
    return path


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

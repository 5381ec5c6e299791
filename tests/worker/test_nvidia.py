"""What CUDA and TensorRT are told. No GPU is needed, and none of this has met one (decision 13)."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from shared.errors import StartupError
from tests.worker.tiny_onnx import SIDE, brightness, manifest
from worker import hardware
from worker.batcher import Inferred
from worker.engine import Engine
from worker.loading import batcher
from worker.nvidia import cuda, engine_folder, has_tensorrt, tensorrt
from worker.plan import Asked, Plan, Share, concurrency, plan
from worker.providers import PROVIDERS, computes_on_gpu

SHARE = Share(threads=4, device_id=1, max_batch=32, frame=(416, 320))


def test_cuda_is_told_its_device_and_its_bound() -> None:
    assert cuda(SHARE) == {"device_id": "1", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    bound = cuda(dataclasses.replace(SHARE, memory_bytes=2**31))
    assert (bound["gpu_mem_limit"], bound["arena_extend_strategy"]) == ("2147483648", "kSameAsRequested")


def test_tensorrt_builds_one_engine_for_all_batches_and_keeps_it(tmp_path: Path) -> None:
    told = tensorrt(dataclasses.replace(SHARE, cache=tmp_path, memory_bytes=2**31), fp16=True)
    assert told == {
        "device_id": "1",
        "trt_fp16_enable": "1",
        "trt_profile_min_shapes": "images:1x320x416x3",
        "trt_profile_opt_shapes": "images:32x320x416x3",
        "trt_profile_max_shapes": "images:32x320x416x3",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(tmp_path),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(tmp_path),
        "trt_max_workspace_size": "2147483648",
    }
    assert tensorrt(SHARE, fp16=False)["trt_fp16_enable"] == "0"
    assert "trt_engine_cache_enable" not in tensorrt(SHARE, fp16=False)


def test_engines_of_different_files_never_meet() -> None:
    folders = {engine_folder(Path("c"), name, version, sha * 64) for name in "ab" for version in "12" for sha in "ef"}
    assert len(folders) == 8


def test_without_a_gpu_tensorrt_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cuda_devices", lambda: 0)
    assert not has_tensorrt()
    with pytest.raises(StartupError, match="tensorrt is not available here"):
        Engine.load(Path("model.onnx"), manifest(Path("model.onnx")), "tensorrt", "auto")


def test_a_gpu_s_plan() -> None:
    chosen = plan(Asked(lanes=0), 16, 250_000_000, gpu=True)
    assert chosen == Plan(lanes=2, threads=16, lane_threads=16, max_batch=32, gpu=True)
    assert chosen.sizes == (1, 2, 4, 8, 16, 32)
    assert not chosen.divided
    assert plan(Asked(lanes=3, max_batch=24), 16, 1, gpu=True).sizes == (1, 2, 4, 8, 16, 24)
    assert concurrency(0, 16, gpu=True) == 64, "two batches in flight"


def test_whether_a_word_of_the_settings_means_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def have(*names: str) -> None:
        for name, provider in PROVIDERS.items():
            monkeypatch.setitem(PROVIDERS, name, dataclasses.replace(provider, available=partial(bool, name in names)))

    have("openvino", "cpu")
    assert [computes_on_gpu(word) for word in ("auto", "cpu", "cuda", "tensorrt")] == [False, False, True, True]
    have("cuda", "tensorrt", "openvino", "cpu")
    assert computes_on_gpu("auto")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cuda` computes on the CPU: everything around the device is real."""
    real = PROVIDERS["cpu"]
    told = dataclasses.replace(PROVIDERS["cuda"], ep=real.ep, available=lambda: True, options=real.options)
    monkeypatch.setitem(PROVIDERS, "cuda", told)


@pytest.mark.usefixtures("stand_in")
def test_batches_of_any_size_in_flight_on_one_session(tmp_path: Path) -> None:
    path = brightness(tmp_path / "model.onnx")
    engine = Engine.load(path, manifest(path), "cuda", "fp32", Asked(threads=2, lanes=0, max_batch=4))
    assert engine.plan == Plan(lanes=2, threads=2, lane_threads=2, max_batch=4, gpu=True)
    engine.warm_up(4)
    before = threading.active_count()
    served = batcher(engine, capacity=64)
    assert threading.active_count() == before + 2, "a thread for each batch in flight"
    with ThreadPoolExecutor(8) as pool:
        levels = [k * 3 for k in range(80)]
        found = list(pool.map(lambda level: _light(served.submit(np.full((SIDE, SIDE, 3), level, np.uint8))), levels))
    np.testing.assert_allclose(found, [level / 255 for level in levels], atol=1e-6)
    assert served.close(10)


def _light(future: Future[Inferred]) -> float:
    return float(future.result(10).output.scores[0, 0])

"""Options of ONNX Runtime's two providers for NVIDIA GPUs, CUDA and TensorRT. Knows their words, no model.

Sources: onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html and TensorRT-ExecutionProvider.html.
Left out on purpose: CUDA graphs, which forbid runs side by side in a session and want every address fixed.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from worker import hardware
from worker.plan import Share

Options = dict[str, str]


def cuda(share: Share) -> Options:
    """Full fp32 (no TF32); a quick choice of convolution kernels; no more memory than allowed, and as it is asked for
    where there is a bound. The bound is the arena's: CUDA's and cuDNN's own memory comes on top.
    """
    options = {"device_id": str(share.device_id), "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    if share.memory_bytes:
        options |= {"gpu_mem_limit": str(share.memory_bytes), "arena_extend_strategy": "kSameAsRequested"}
    return options


def tensorrt(share: Share, fp16: bool) -> Options:
    """One engine for batches of 1 to the largest, built for the largest, kept on disk with the timings of its kernels.

    TensorRT names its files by graph and GPU; the folder is the model's own, so that versions never meet.
    """
    options = {
        "device_id": str(share.device_id),
        "trt_fp16_enable": "1" if fp16 else "0",
        "trt_profile_min_shapes": _shape(share, 1),
        "trt_profile_opt_shapes": _shape(share, share.max_batch),
        "trt_profile_max_shapes": _shape(share, share.max_batch),
    }
    if share.cache is not None:
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(share.cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(share.cache),
        }
    if share.memory_bytes:
        options["trt_max_workspace_size"] = str(share.memory_bytes)
    return options


def has_tensorrt() -> bool:
    """Whether TensorRT's library can be loaded and there is a GPU: ONNX Runtime lists the provider without either."""
    try:
        ctypes.CDLL("libnvinfer.so.10")
    except OSError:
        return False
    return hardware.cuda_devices() > 0


def engine_folder(cache: Path, name: str, version: str, sha256: str) -> Path:
    """Where the engines of one model file lie."""
    return cache / f"{name}@{version}-{sha256[:12]}"


def _shape(share: Share, batch: int) -> str:
    return f"images:{batch}x{share.frame[1]}x{share.frame[0]}x3"

"""What this machine offers the engine: cores, bf16 arithmetic, CUDA devices. Reads the system, knows no model."""

from __future__ import annotations

import ctypes
import math
import os
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores(quota: Path = CPU_QUOTA) -> int:
    """Cores that this process may use: its affinity, and the container's CPU quota (cgroup v2) where there is one.

    One thread for each core of a big host would be throttled to a crawl inside a container of two.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = quota.read_text().split()
    except (OSError, ValueError):  # no cgroup v2 here
        return allowed
    return allowed if limit == "max" else max(1, min(allowed, math.ceil(int(limit) / int(period))))


def has_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the CPU multiplies bf16 in hardware (avx512_bf16 or amx_bf16), which about halves a run or better."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # not Linux: nothing known, so fp32
        return False
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags


def cuda_devices() -> int:
    """How many CUDA devices the driver sees; 0 without a driver. ONNX Runtime only says what it was built for."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value

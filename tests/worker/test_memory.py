"""What was freed in another thread's heap goes back to the system."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest

from worker.memory import give_back

BLOCK = 1 << 20
BLOCKS = 64


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim")
def test_freed_memory_of_a_threads_heap_returns() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    give_back()
    before, measured = resident(), list[int]()

    def use() -> None:
        big = libc.malloc(32 * BLOCK - 8192)  # freed, it raises glibc's threshold: what follows lies in a heap
        libc.free(big)
        blocks = [libc.malloc(BLOCK) for _ in range(BLOCKS)]
        for block in blocks:
            libc.memset(block, 1, BLOCK)
        last = libc.malloc(BLOCK)  # on top of them: a heap can shrink there by itself, but not below
        for block in blocks:
            libc.free(block)
        measured.append(resident())
        assert give_back()
        measured.append(resident())
        libc.free(last)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    kept, after = measured
    assert kept - before > BLOCKS * BLOCK / 2, "the test shows nothing: the C library gave it back by itself"
    assert after - before < BLOCKS * BLOCK / 8

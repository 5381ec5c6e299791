"""Decoding in children: the same pixels, and whatever a picture does ends a child at most."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.crashing import CRASH, DEVOUR, DIE, HANG, install, marked
from shared.errors import ImageTooLarge, InvalidImage, Overloaded
from tests.waiting import until
from worker import quarantine
from worker.image import Decoder
from worker.quarantine import Confinement, Crashed, Quarantine

PIXELS = 4_000_000
MEMORY = 1 << 27
FILE = 1 << 23
SECONDS = 1.0


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(PIXELS, MEMORY, wait_s=0.2)


@pytest.fixture
def isolation(decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quarantine]:
    """Whose children crash on marked pictures."""
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    quarantine = Quarantine(Confinement(PIXELS, MEMORY, FILE, SECONDS), decoder.budget, 2)
    yield quarantine
    quarantine.close()


def noise(width: int = 640, height: int = 480) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)).save(out, "JPEG")
    return out.getvalue()


def pids(isolation: Quarantine) -> list[int]:
    return [child._process.pid for child in isolation._idle]


def test_pixels_are_those_of_the_workers_own_decoder(isolation: Quarantine, decoder: Decoder) -> None:
    for data in (noise(), noise(1, 1), noise(2000, 2000)):
        assert np.array_equal(isolation.decode(data).pixels, decoder.decode(data).pixels)
    assert len(pids(isolation)) == 1, "one child serves one picture after the other"


def test_a_pictures_own_fault_is_told_as_by_the_workers_decoder_and_costs_no_child(
    isolation: Quarantine, decoder: Decoder
) -> None:
    first = None
    for data, kind in (
        (b"no picture", InvalidImage),
        (noise()[:900], InvalidImage),
        (noise(2001, 2000), ImageTooLarge),
    ):
        with pytest.raises(kind) as own:
            decoder.decode(data)
        with pytest.raises(kind) as isolated:
            isolation.decode(data)
        assert isolated.value.detail == own.value.detail
        first = first or pids(isolation)
    assert pids(isolation) == first


@pytest.mark.parametrize(
    ("size", "why"),
    [
        (CRASH, "its decoder was ended by SIGSEGV."),
        (DIE, "its decoder was ended by SIGKILL."),
        (HANG, "decoding took longer than 1 s."),
    ],
)
def test_a_picture_ends_its_child_and_the_next_one_gets_another(
    isolation: Quarantine, size: tuple[int, int], why: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(Crashed) as crashed:
        isolation.decode(marked(size))
    assert crashed.value.detail == why
    assert time.monotonic() - begun < quarantine.START_S
    assert pids(isolation) == []
    assert isolation.decode(noise()).pixels.shape == (480, 640, 3)


def test_a_picture_that_eats_memory_meets_its_bound(isolation: Quarantine) -> None:
    with pytest.raises(InvalidImage):  # Pillow's allocation fails, which is the picture's fault
        isolation.decode(marked(DEVOUR))


def test_a_child_is_confined_and_knows_no_secret(isolation: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTTER_WEBHOOK_SECRET", "whsec_hunter2")
    isolation.decode(noise())
    (pid,) = pids(isolation)
    folder = Path(f"/proc/{pid}")
    assert b"hunter2" not in (folder / "environ").read_bytes()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (folder / "limits").read_text().splitlines()}
    assert limits["Max file size"] == limits["Max core file size"] == ["0", "0"]
    assert MEMORY + FILE < int(limits["Max address space"][1]) < MEMORY + FILE + (2 << 30)
    assert (folder / "oom_score_adj").read_text() == "1000\n"
    open_files = [os.readlink(link) for link in (folder / "fd").iterdir()]
    assert not [name for name in open_files if name.startswith("socket:")], "the worker's connections are closed"


def test_an_idle_child_ends_by_itself_and_is_replaced(isolation: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "IDLE_S", 0.1)
    isolation.decode(noise())
    (child,) = isolation._idle
    until(lambda: not child.alive)
    isolation.decode(noise())
    (another,) = isolation._idle
    assert another is not child
    # ... and where it ends just as a picture comes, nobody blames the picture.
    monkeypatch.setattr(type(another), "alive", property(lambda self: True))
    another._process.wait(10)
    assert isolation.decode(noise()).pixels.shape == (480, 640, 3)


def test_a_fresh_child_met_no_picture_before(isolation: Quarantine) -> None:
    isolation.decode(noise())
    (first,) = pids(isolation)
    isolation.decode(noise(), fresh=True)
    assert first in pids(isolation)
    assert len(pids(isolation)) == 2


def test_children_share_the_workers_memory(isolation: Quarantine, decoder: Decoder) -> None:
    with decoder.budget.take(MEMORY), pytest.raises(Overloaded):
        isolation.decode(noise())
    assert isolation.decode(noise()).pixels.shape == (480, 640, 3)


def test_threads_wait_for_one_of_a_few_children(isolation: Quarantine) -> None:
    with ThreadPoolExecutor(8) as pool:
        shapes = list(pool.map(lambda _: isolation.decode(noise()).pixels.shape, range(24)))
    assert set(shapes) == {(480, 640, 3)}
    assert len(pids(isolation)) <= 2


def test_a_stopped_child_is_killed(isolation: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MARGIN_S", 0.2)
    isolation.decode(noise())
    (pid,) = pids(isolation)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(Crashed, match="took longer"):
        isolation.decode(noise(2000, 2000))


def test_a_child_that_cannot_start_is_no_fault_of_the_picture(isolation: Quarantine, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(3)")
    with pytest.raises(Overloaded, match="exit code 3"):
        isolation.decode(noise())


def test_children_end_with_the_worker(isolation: Quarantine) -> None:
    isolation.decode(noise())
    (child,) = isolation._idle
    signals = [signal.SIGTERM, signal.SIGINT]  # meant for the worker, which drains
    for number in signals:
        os.kill(child._process.pid, number)
    assert isolation.decode(noise()).pixels.shape == (480, 640, 3)
    closer = threading.Thread(target=isolation.close)
    closer.start()
    closer.join(10)
    assert child._process.returncode == 0

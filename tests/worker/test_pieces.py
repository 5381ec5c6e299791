"""Batches in the sizes that a GPU is prepared for, and what happens when its memory runs out; the GPU is a fake."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InferenceFailed
from tests.worker.fake_device import answer
from worker.batcher import Frames
from worker.output import Output
from worker.pieces import Pieces, out_of_memory

SIZES = (1, 2, 4, 8, 16, 32)
ARENA = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. Name:'c1' "
    "Status Message: bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool) Failed to "
    "allocate memory for requested buffer of size 839524096"
)


class Small:
    """A device that takes `room` frames at most, and notes the sizes of its runs."""

    def __init__(self, room: int, says: str = ARENA) -> None:
        self.room, self.says, self.sizes = room, says, list[int]()

    def __call__(self, frames: Frames, /) -> Output:
        self.sizes.append(len(frames))
        if len(frames) > self.room:
            try:
                raise RuntimeError(self.says)
            except RuntimeError as error:
                raise InferenceFailed from error
        return answer(frames)


def frames(count: int) -> Frames:
    return np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


@given(st.integers(1, 100), st.integers(1, 64))
def test_every_frame_has_its_own_answer_whatever_the_room(count: int, room: int) -> None:
    device = Small(room)
    run = Pieces(device, SIZES)
    for _ in range(2):
        output = run(frames(count))
        assert output.scores[:, 0, 0].tolist() == list(range(1, count + 1))
        assert len(output) == count
    assert set(device.sizes) <= set(SIZES), "no size that was not prepared"


def test_a_batch_is_filled_up_to_the_next_size() -> None:
    device = Small(32)
    run = Pieces(device, SIZES)
    for count in (1, 2, 3, 5, 9, 17, 32, 40):
        run(frames(count))
    assert device.sizes == [1, 2, 4, 8, 16, 32, 32, 32, 8]


def test_too_little_memory_halves_the_batch_for_good_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    device = Small(10)
    run = Pieces(device, SIZES)
    with caplog.at_level(logging.WARNING, "worker.pieces"):
        assert len(run(frames(32))) == 32
        assert device.sizes == [32, 16, 8, 8, 8, 8]
        run(frames(32))
    assert device.sizes[6:] == [8, 8, 8, 8], "the bound stays"
    assert run.sizes == (1, 2, 4, 8)
    assert [record.getMessage() for record in caplog.records] == [
        "the device has too little memory for 32 pictures in a run; from now on 16",
        "the device has too little memory for 16 pictures in a run; from now on 8",
    ]


def test_a_filled_up_batch_that_is_too_large_is_tried_smaller() -> None:
    device = Small(4)
    run = Pieces(device, SIZES)
    assert run(frames(5)).scores[:, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert device.sizes == [8, 2, 2, 1]


def test_one_frame_too_many_fails_with_the_device_s_words() -> None:
    run = Pieces(Small(0), SIZES)
    with pytest.raises(InferenceFailed) as caught:
        run(frames(4))
    assert out_of_memory(caught.value)
    assert run.sizes == (1,)


def test_any_other_failure_is_not_tried_smaller() -> None:
    device = Small(1, "an illegal memory access was encountered")
    run = Pieces(device, SIZES)
    with pytest.raises(InferenceFailed):
        run(frames(4))
    assert device.sizes == [4]
    assert run.sizes == SIZES


@pytest.mark.parametrize(
    ("text", "is_memory"),
    [
        (ARENA, True),
        ("Available memory of 1024 is smaller than requested bytes of 4096", True),
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=h", True),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED", True),
        ("CUDNN failure 2: CUDNN_STATUS_ALLOC_FAILED", True),
        ("Error Code 2: OutOfMemory (Requested size was 1 bytes.)", True),
        ("CUDA failure 700: an illegal memory access was encountered", False),
        ("Invalid rank for input: images", False),
    ],
)
def test_memory_is_told_by_the_words(text: str, is_memory: bool) -> None:
    assert out_of_memory(RuntimeError(text)) is is_memory


def test_two_batches_in_flight_agree_on_the_bound() -> None:
    run = Pieces(Small(8), SIZES)
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(run, [frames(32)] * 6))
    assert all(one.scores[:, 0, 0].tolist() == list(range(1, 33)) for one in outputs)
    assert run.sizes == (1, 2, 4, 8)


def test_labels_go_with_their_pictures() -> None:
    def run(frames: Frames, /) -> Output:
        plain = answer(frames)
        return Output(plain.boxes, plain.scores[:, :, 0], plain.scores[:, :, 0].astype(np.int64))

    output = Pieces(run, (1, 2))(frames(5))
    assert output.labels is not None
    assert output.labels[:, 0].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("sizes", [(), (2, 4), (1, 4, 2), (1, 1)])
def test_sizes_ascend_from_one(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascend from 1"):
        Pieces(answer, sizes)

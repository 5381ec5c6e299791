"""How a device is divided, by cores and model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.plan import LARGE_BYTES, Asked, Plan, concurrency, lanes_of, plan

AUTO = Asked(lanes=0)
SMALL = 35_000_000


@pytest.mark.parametrize(
    ("cores", "lanes", "lane_threads", "max_batch"),
    [(1, 1, 1, 4), (2, 2, 1, 1), (3, 3, 1, 1), (4, 4, 1, 1), (6, 3, 2, 2), (8, 4, 2, 2), (12, 6, 2, 2),
     (16, 4, 4, 4), (64, 16, 4, 4)],
)  # fmt: skip
def test_the_lanes_of_a_cpu(cores: int, lanes: int, lane_threads: int, max_batch: int) -> None:
    assert plan(AUTO, cores, SMALL) == Plan(lanes, cores, lane_threads, max_batch)


def test_a_large_model_has_one_lane_unless_more_are_asked_for() -> None:
    assert plan(AUTO, 8, LARGE_BYTES + 1) == Plan(1, 8, 8, 4)
    assert plan(Asked(lanes=2), 8, LARGE_BYTES + 1) == Plan(2, 8, 4, 4)


def test_what_is_asked_for_is_taken() -> None:
    assert plan(Asked(threads=4, lanes=2, max_batch=8), 64, SMALL) == Plan(2, 4, 2, 8)
    assert plan(Asked(threads=2, lanes=8), 64, SMALL).lanes == 2, "a lane without a thread is none"
    assert plan(Asked(), 2, SMALL).lanes == 1, "a tool that runs one picture at a time loads one session"


@given(st.integers(1, 1024))
def test_lanes_never_take_more_threads_than_there_are_nor_leave_many_idle(threads: int) -> None:
    lanes = lanes_of(threads)
    assert 1 <= lanes <= threads
    assert threads - lanes * (threads // lanes) <= min(3, threads // 3)


@pytest.mark.parametrize(("cores", "pictures"), [(1, 8), (2, 8), (4, 16), (16, 64), (64, 64)])
def test_pictures_side_by_side(cores: int, pictures: int) -> None:
    assert concurrency(0, cores, gpu=False) == pictures
    assert concurrency(3, cores, gpu=False) == 3

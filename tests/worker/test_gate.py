"""Side by side, or one alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.waiting import until
from worker.gate import Gate


def test_threads_pass_side_by_side() -> None:
    gate, meet = Gate(), threading.Barrier(4)

    def enter() -> int:
        with gate.passing():
            return meet.wait(10)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(lambda _: enter(), range(4))) == [0, 1, 2, 3]


def test_one_alone_waits_for_the_others_and_keeps_new_ones_out() -> None:
    gate, leave = Gate(), threading.Event()
    order: list[str] = []

    def other() -> None:
        with gate.passing():
            order.append("other in")
            leave.wait(10)
            order.append("other out")

    def late() -> None:
        with gate.passing():
            order.append("late")

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(other)
        until(lambda: order == ["other in"])

        def lonely() -> None:
            with gate.passing():
                assert gate.alone(10)
                order.append("alone")
                pool.submit(late)
                assert gate.alone(10), "it is so already"
                order.append("done")

        second = pool.submit(lonely)
        until(lambda: gate._alone is not None)
        leave.set()
        first.result(10)
        second.result(10)
    assert order == ["other in", "other out", "alone", "done", "late"]


def test_who_cannot_be_alone_is_told_and_blocks_nobody() -> None:
    gate, meet = Gate(), threading.Barrier(2)
    told: list[bool] = []

    def want() -> None:
        with gate.passing():
            meet.wait(10)
            told.append(gate.alone(0.05))
            meet.wait(10)

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(want), pool.submit(want)]:
            one.result(10)
    assert told == [False, False]
    with gate.passing():
        assert gate.alone(0)

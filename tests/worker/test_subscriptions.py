"""Queues change on Celery's own thread, until they have; also while there is no connection, and after an error.

`tests/system/test_reload.py` has it with Celery's own consumer, and with a connection that breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from celery import Celery

from shared.queue import DELIVER_QUEUE, create_celery, detect_queue
from worker.subscriptions import Subscriptions

# Celery warns of root because of pickled messages; this app takes JSON alone.
pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.SecurityWarning")


class Consumer:
    """As much of `celery.worker.consumer.Consumer` as is used; `turn` is one turn of its event loop."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.task_consumer: object | None = object()
        self.todo: list[Callable[[], None]] = []
        self.consumed: set[str] = set()
        self.fails: Exception | None = None

    def call_soon(self, todo: Callable[[], None]) -> None:
        self.todo.append(todo)

    def turn(self) -> None:
        todo, self.todo = self.todo, []
        for one in todo:
            one()

    def add_task_queue(self, name: str) -> None:
        if self.fails:
            raise self.fails
        assert name in self.app.amqp.queues, "Celery would declare a queue of its own making"
        self.consumed.add(name)

    def cancel_task_queue(self, name: str) -> None:
        self.app.amqp.queues.deselect(name)
        self.consumed.discard(name)


@pytest.fixture
def app() -> Iterator[Celery]:
    app = create_celery("memory://")
    yield app
    app.close()


@pytest.fixture
def consumer(app: Celery) -> Consumer:
    return Consumer(app)


@pytest.fixture
def subscriptions(app: Celery, consumer: Consumer) -> Subscriptions:
    subscriptions = Subscriptions(app, [DELIVER_QUEUE])
    subscriptions.want(["m"])
    subscriptions.worker(pool="solo")
    subscriptions._consumer = consumer
    return subscriptions


def selected(app: Celery) -> set[str]:
    """What the next connection would consume."""
    return set(app.amqp.queues.consume_from)


def names(*references: str) -> set[str]:
    return {DELIVER_QUEUE, *map(detect_queue, references)}


def test_a_worker_begins_with_what_is_wanted(app: Celery, subscriptions: Subscriptions) -> None:
    assert selected(app) == subscriptions.effective == names("m")


def test_changes_are_made_on_the_event_loop(app: Celery, subscriptions: Subscriptions, consumer: Consumer) -> None:
    subscriptions.want(["m", "m@1", "m@2"])
    assert subscriptions.effective == names("m")
    consumer.turn()
    assert subscriptions.effective == selected(app) == names("m", "m@1", "m@2")
    assert consumer.consumed == names("m@1", "m@2") - {DELIVER_QUEUE}
    subscriptions.want(["m", "m@2"])
    consumer.turn()
    assert subscriptions.effective == selected(app) == names("m", "m@2")
    subscriptions.want(["m", "m@2"])
    assert consumer.todo == [], "nothing changed, yet the event loop is woken"


def test_without_a_connection_the_next_one_takes_what_is_wanted(
    app: Celery, subscriptions: Subscriptions, consumer: Consumer
) -> None:
    consumer.task_consumer = None
    subscriptions.want(["n"])
    consumer.turn()
    assert selected(app) == subscriptions.effective == names("n")
    assert consumer.consumed == set()


def test_what_fails_is_asked_for_again(app: Celery, subscriptions: Subscriptions, consumer: Consumer) -> None:
    consumer.fails = ConnectionError("reset by peer")
    subscriptions.want(["m", "m@1"])
    consumer.turn()
    assert subscriptions.effective == names("m")
    consumer.fails = None
    subscriptions.want(["m", "m@1"])
    consumer.turn()
    assert subscriptions.effective == selected(app) == names("m", "m@1")


def test_what_got_lost_is_asked_for_again(subscriptions: Subscriptions, consumer: Consumer) -> None:
    subscriptions.want(["m", "m@1"])
    consumer.todo.clear()  # as a hub does that is reset
    subscriptions.want(["m", "m@1"])
    consumer.turn()
    assert subscriptions.effective == names("m", "m@1")

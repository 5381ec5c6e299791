"""Which Celery queues this process consumes, changed while it runs.

Celery's own `add_consumer` needs remote control, which is off; this is what it does inside. A change is made on the
thread of Celery's event loop, since kombu's channels belong to it. It is asked for again until it took effect: a
connection may break meanwhile. The next one consumes what is selected by then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from celery import Celery

from shared.queue import declare, detect_queue

logger = logging.getLogger(__name__)


class Subscriptions:
    """The queues of the references that are wanted, and the fixed ones.

    Args:
        fixed: names of queues that are consumed all the time.
    """

    def __init__(self, celery: Celery, fixed: Iterable[str] = ()) -> None:
        self._celery, self._fixed = celery, frozenset(fixed)
        self._lock = threading.Lock()
        self._wanted = self._fixed
        self._consumer: Any = None  # celery.worker.consumer.Consumer
        self._effective: frozenset[str] = frozenset()

    def want(self, references: Iterable[str]) -> None:
        """From now on these. To be called again and again; costs nothing while nothing changes."""
        with self._lock:
            self._wanted = self._fixed | {detect_queue(reference) for reference in references}
            consumer = self._consumer if self._wanted != self._effective else None
        if consumer is not None:
            consumer.call_soon(self._apply)

    def worker(self, **options: Any) -> Any:  # noqa: ANN401
        """A Celery worker that consumes what is wanted now, and follows."""
        with self._lock:
            names = self._effective = self._wanted
        self._celery.conf.task_queues = [declare(self._celery, name) for name in sorted(names)]
        worker = self._celery.Worker(queues=sorted(names), **options)
        with self._lock:
            self._consumer = worker.consumer
        return worker

    @property
    def effective(self) -> frozenset[str]:
        """Names of the queues that are consumed."""
        return self._effective

    def _apply(self) -> None:
        """On the event loop's thread, where an error would end more than this: acknowledgements behind it are lost."""
        with self._lock:
            wanted, effective = self._wanted, self._effective
        try:
            self._change(wanted - effective, effective - wanted)
        except Exception as error:  # kombu's errors differ by transport; every one means: not yet
            logger.warning("queues not changed", extra={"error": repr(error)})
            return
        with self._lock:
            self._effective = wanted

    def _change(self, more: Iterable[str], less: Iterable[str]) -> None:
        """Safe to repeat. Where there is no connection, what is selected counts: the next one consumes that."""
        connected, queues = self._consumer.task_consumer is not None, self._celery.amqp.queues
        for name in more:
            queues.select_add(declare(self._celery, name))
            if connected:
                self._consumer.add_task_queue(name)
        for name in less:
            if connected:
                self._consumer.cancel_task_queue(name)
            else:
                queues.deselect(name)

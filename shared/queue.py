"""The Celery app and its queues. A message is a token, "there is work in this queue", never a job and never bytes.

Which picture comes next is the store's business, decided at the claim. So a lost message costs a wait until the next
sweep, a doubled one finds nothing to do. Facts behind the options: docs/decisions/0001-tokens.md.
"""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress

from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.exceptions import ChannelError

from shared.brokers import options

logger = logging.getLogger(__name__)

DETECT_TASK = "spotter.detect"
DELIVER_TASK = "spotter.deliver"
DELIVER_QUEUE = "spotter.deliver"
_EXCHANGE = Exchange("spotter", type="direct")


def detect_queue(model: str) -> str:
    """Name of the Celery queue that carries a model's tokens."""
    return f"spotter.detect.{model}"


def declare(app: Celery, name: str) -> Queue:
    """The queue as both ends declare it: of the kind that suits the broker."""
    kind = app.conf.task_default_queue_type
    arguments = None if kind == "classic" else {"x-queue-type": kind}
    return Queue(name, _EXCHANGE, routing_key=name, queue_arguments=arguments)


def create_celery(broker_url: str) -> Celery:
    """The Celery app with every option that safety rests on. Opens no connection.

    Raises StartupError: the broker's address cannot be read.
    """
    app = Celery("spotter", set_as_current=False)
    app.conf.update(
        **options(broker_url),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # the default of 100 tries would end the worker in a long outage
        broker_pool_limit=4,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_track_started=False,
        worker_send_task_events=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the threads pool cannot
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_create_missing_queues=False,  # a mistyped queue would swallow tokens
        task_publish_retry=False,  # the sweeper is the retry
    )
    return app


def depth(app: Celery, name: str) -> int:
    """Tokens lying in a queue now; 0 when nobody has used it yet. Raises kombu's operational errors."""
    with app.connection_for_read() as connection:
        try:
            found = connection.default_channel.queue_declare(queue=name, passive=True)
        except ChannelError:
            return 0
        return int(found.message_count)


class Waker:
    """Publishes tokens from a thread of its own, so that no caller waits for the broker.

    A token that cannot be published is logged and dropped: the job is safe in the store, and the sweeper tops up.
    """

    _CAPACITY = 10_000

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._inbox: queue.Queue[tuple[str, str, tuple[str, ...], int] | None] = queue.Queue(self._CAPACITY)
        self._dropping = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._publish_all, name="waker", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Publish what is left, at most for a few seconds and only while the broker takes it."""
        self._stopping.set()
        with suppress(queue.Full):
            self._inbox.put_nowait(None)
        self._thread.join(timeout=5)

    def wake_detect(self, model: str, tokens: int) -> None:
        """Let `tokens` threads of the workers of `model` look into the store."""
        if tokens:
            self._offer((DETECT_TASK, detect_queue(model), (model,), tokens))

    def wake_deliver(self) -> None:
        """Let a worker look for webhook deliveries that are due."""
        self._offer((DELIVER_TASK, DELIVER_QUEUE, (), 1))

    def _offer(self, item: tuple[str, str, tuple[str, ...], int]) -> None:
        try:
            self._inbox.put_nowait(item)
            self._dropping = False
        except queue.Full:
            if not self._dropping:  # once, not for each of a flood
                logger.warning("tokens are dropped: the broker takes none just now", extra={"queue": item[1]})
            self._dropping = True

    def _publish_all(self) -> None:
        while (item := self._inbox.get()) is not None:
            task, name, args, tokens = item
            try:
                target = declare(self._app, name)
                for _ in range(tokens):
                    self._app.send_task(task, args=args, queue=target, ignore_result=True)
            except Exception as error:  # kombu's errors differ by transport; every one means: not published
                logger.warning("token not published", extra={"queue": name, "error": repr(error)})
                if self._stopping.is_set():
                    return

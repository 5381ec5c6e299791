"""What Celery must be told of each kind of broker, by the scheme of its address. Knows no queue and no task.

Tokens may be lost or doubled by any broker (docs/decisions/0001-tokens.md); what is chosen here decides how soon a loss
is noticed, not whether a job is lost. Record: docs/decisions/0017-brokers-and-durability.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from shared import sentinels

Options = dict[str, Any]
"""Fields of `Celery.conf`."""

CONFIRM_S = 5.0
_PUBLISHING: Options = {
    "max_retries": 1,  # without a bound kombu waits for the broker for ever
    "interval_start": 0.0,
    "interval_step": 0.2,
    "interval_max": 0.5,
}
_REDIS: Options = {
    **_PUBLISHING,
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 10,  # a half-open connection is noticed in about 21 s
    "priority_steps": [0],  # priority lives in the store's index
}


def options(url: str) -> Options:
    """For the broker at `url`, its address included. Raises StartupError: the address cannot be read."""
    return BROKERS.get(urlsplit(url).scheme.lower(), _other)(url)


def _redis(url: str) -> Options:
    return {"broker_url": url, "broker_transport_options": _REDIS}


def _sentinel(url: str) -> Options:
    known = sentinels.read(url)
    extra = {"master_name": known.master, "sentinel_kwargs": {**known.own_login, "socket_timeout": 2}}
    return {"broker_url": known.kombu_url(), "broker_transport_options": _REDIS | extra}


def _amqp(url: str) -> Options:
    """RabbitMQ with quorum queues: a token is on a majority of the nodes before its publish is over."""
    return {
        "broker_url": url,
        "broker_transport_options": {**_PUBLISHING, "confirm_publish": True, "confirm_timeout": CONFIRM_S},
        "broker_heartbeat": 10,  # a half-open connection is noticed in about 20 s
        "task_default_queue_type": "quorum",
        "worker_detect_quorum_queues": True,
    }


def _other(url: str) -> Options:
    return {"broker_url": url}


BROKERS: dict[str, Callable[[str], Options]] = {
    "redis": _redis,
    "rediss": _redis,
    sentinels.SCHEME: _sentinel,
    "amqp": _amqp,
    "amqps": _amqp,
}

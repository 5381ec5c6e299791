"""The two Celery tasks. Tokens in, no results out: what they do is in `detect.py` and `deliveries.py`."""

from __future__ import annotations

import logging

from celery import Celery

from shared.errors import Overloaded
from shared.queue import DELIVER_TASK, DETECT_TASK
from shared.reports import REFERENCE
from worker.deliveries import Deliveries
from worker.detect import Detector

logger = logging.getLogger(__name__)


def register(app: Celery, detector: Detector, deliveries: Deliveries | None) -> None:
    """Bind the tasks to what they work with; called once by the composition root."""

    def detect(model: str) -> None:
        # Whoever can write to the broker can send anything: only `name` or `name@version` gets further.
        if isinstance(model, str) and REFERENCE.fullmatch(model):
            detector.detect(model)
        else:
            logger.warning("malformed token dropped")

    def deliver() -> None:
        if deliveries is None:
            return
        try:
            deliveries.poke()
        except Overloaded as error:
            logger.warning("no deliveries taken", extra={"error": repr(error)})

    app.task(name=DETECT_TASK, ignore_result=True, shared=False)(detect)
    app.task(name=DELIVER_TASK, ignore_result=True, shared=False)(deliver)

"""Lets pictures pass side by side, or one alone: a picture on its last attempt has the worker to itself.

A crash of the worker then is this picture's doing, and costs no other picture an attempt. Knows nothing of pictures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Threads pass through `passing`; one that has passed may ask to be `alone`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone: int | None = None

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside for the time of the block; enters when nobody is alone or about to be."""
        with self._changed:
            self._changed.wait_for(lambda: self._alone is None)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if self._alone == threading.get_ident():
                    self._alone = None
                self._changed.notify_all()

    def alone(self, timeout_s: float) -> bool:
        """Wait, inside, until everybody else has left, and keep others out until this thread leaves.

        Returns:
            False where another thread is alone or about to be, or the others did not leave in time.
        """
        me, until = threading.get_ident(), time.monotonic() + timeout_s
        with self._changed:
            if self._alone is not None:
                return self._alone == me
            self._alone = me
            if self._changed.wait_for(lambda: self._inside == 1, until - time.monotonic()):
                return True
            self._alone = None
            self._changed.notify_all()
            return False

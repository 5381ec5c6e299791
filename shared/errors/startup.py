"""The one error that is no answer to a client: a process cannot start."""

from __future__ import annotations

from shared.errors.failure import SpotterError


class StartupError(SpotterError):
    """A process cannot start. Its text is one sentence for the operator; the process exits non-zero with it."""

    code, title = "startup", "The process cannot start"

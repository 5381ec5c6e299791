"""Python's garbage collector, kept away from what lives as long as the process. Called once, by the process's main."""

from __future__ import annotations

import gc


def spare_collections() -> None:
    """Leave what is there now out of all later collections (`gc.freeze`).

    Modules, routes and schemas are 80,000 objects and more; every full collection would stop all threads for 25 to
    35 ms to look at them. Call it before anything is built that is to be freed again, a model for instance.
    """
    gc.collect()
    gc.freeze()

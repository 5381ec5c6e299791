"""Python's garbage collector, kept away from what lives as long as the process. Called once, by the process's main."""

from __future__ import annotations

import gc

RARELY = 100
"""Collections of the middle generation for each full one; Python's own choice is 10."""


def spare_collections(*, rarely: bool = False) -> None:
    """Leave what is there now out of all later collections (`gc.freeze`).

    Modules, routes and schemas are 80,000 objects and more; every full collection would stop all threads for 25 to
    35 ms to look at them. Call it before anything is built that is to be freed again, a model for instance.

    Args:
        rarely: full collections are. For a process that holds thousands of open requests, of which none frees anything;
            garbage is found all the same while it is young.
    """
    gc.collect()
    gc.freeze()
    if rarely:
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, RARELY)

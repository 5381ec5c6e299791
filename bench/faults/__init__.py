"""The fault bench: real processes, killed, frozen and restarted under load; then the promise is counted.

    python -m bench.faults [--short] [--only worker_kills,valkey_kills] [--seed N] [--page-only]
    python -m bench.faults.worker_kills --seed 1 --jobs 2000 --kills 10

A scenario is a module of this package with one documented `run(asked) -> Row` and a `main` of two lines; `roster.py`
has a line for each. All random choices come from `asked.seed`, which is part of what it prints. It touches nothing but
127.0.0.0/8, and what it starts it ends.
"""

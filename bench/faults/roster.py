"""The table of the fault bench: which scenarios there are, in the order of docs/reliability.md. Knows no figures.

A new scenario is a module of this package and a line here.
"""

from __future__ import annotations

SCENARIOS: dict[str, str] = {
    "worker_kills": "Worker kills",
    "valkey_kills": "Valkey kills",
    "api_kills": "API kills",
    "store_outages": "Store outages",
    "disk_full": "Disk full",
    "stalled_network": "Stalled network",
    "frozen_worker": "Frozen worker",
    "webhooks": "Webhooks",
    "rolling_restarts": "Rolling restarts",
    "poison": "Poison pictures",
    "addresses": "Addresses",
    "hostile_servers": "Hostile servers",
    "hostile_pictures": "Hostile pictures",
    "overload": "Overload",
    "slow_clients": "Slow clients",
    "api_fuzz": "API fuzz",
    "soak": "Soak",
}
"""Title by module. Each runs as `python -m bench.faults.<module> [--short] [--seed N]`; its last line is JSON."""

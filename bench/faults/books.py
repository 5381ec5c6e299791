"""The service's own books, as its API shows them: counters, and the list of all jobs. To hold against the ledger."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from bench.faults.client import Client


def counted(client: Client, name: str) -> int:
    """A counter of `/metrics` over all its labels, e.g. `spotter_pictures_total`. Raises NoAnswer."""
    text = client.ask("GET", "/metrics").body.decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name == name))


def jobs_by_key(client: Client) -> dict[str, list[str]]:
    """The ids of all jobs in the service's list by the key in their metadata. Raises NoAnswer."""
    found: dict[str, list[str]] = {}
    after = ""
    while True:
        page = client.ask("GET", f"/jobs?limit=100{after}").json()
        for job in page["jobs"]:
            found.setdefault(job["metadata"]["key"], []).append(job["id"])
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"

"""Counters from the store and reports of the live workers -> Prometheus text. Holds no state of its own.

So one scrape of any API process sees the whole service, and workers need no port.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from shared.observe import BUCKETS_MS
from shared.reports import WorkerReport
from shared.views import Backlog


class _Fixed:
    """A collector over metrics made already (the library's interface)."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def exposition(stats: Mapping[str, int], backlog: Mapping[str, Backlog], live: Sequence[WorkerReport]) -> bytes:
    """The text for one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed([*_counters(stats), *_backlog(backlog), *_workers(live)]))
    return generate_latest(registry)


def _counters(stats: Mapping[str, int]) -> Iterator[Metric]:
    accepted = CounterMetricFamily("spotter_jobs_accepted", "Jobs accepted.", labels=["model"])
    ended = CounterMetricFamily("spotter_jobs_ended", "Jobs that reached a final status.", labels=["model", "status"])
    pictures = CounterMetricFamily("spotter_pictures", "Pictures with a result.", labels=["model", "status"])
    webhooks = CounterMetricFamily("spotter_webhooks", "Webhook deliveries that ended.", labels=["state"])
    for name, count in sorted(stats.items()):
        kind, _, rest = name.partition(":")
        if kind == "accepted":
            accepted.add_metric([rest], count)
        elif kind == "webhooks":
            webhooks.add_metric([rest], count)
        else:
            model, _, status = rest.rpartition(":")
            family = ended if kind == "jobs" else pictures
            family.add_metric([model, {"ok": "succeeded", "bad": "failed"}.get(status, status)], count)
    yield from (accepted, ended, pictures, webhooks)


def _backlog(backlog: Mapping[str, Backlog]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("spotter_queue_pictures", "Pictures waiting.", labels=["model"])
    jobs = GaugeMetricFamily("spotter_queue_jobs", "Jobs with waiting pictures.", labels=["model"])
    oldest = GaugeMetricFamily("spotter_queue_oldest_seconds", "Age of the job at the head.", labels=["model"])
    for model, behind in sorted(backlog.items()):
        waiting.add_metric([model], behind.pictures)
        jobs.add_metric([model], behind.jobs)
        oldest.add_metric([model], behind.oldest_s)
    yield from (waiting, jobs, oldest)


def _workers(live: Sequence[WorkerReport]) -> Iterator[Metric]:
    names = ["model", "version", "provider", "precision"]
    count = GaugeMetricFamily("spotter_workers", "Live workers that have a version loaded.", labels=names)
    serving: dict[tuple[str, ...], int] = {}
    for report in live:
        for served in report.models:
            for one in served.loaded:
                key = (served.name, one.version, one.provider, one.precision)
                serving[key] = serving.get(key, 0) + 1
    for labels, number in sorted(serving.items()):
        count.add_metric(list(labels), number)
    busy = GaugeMetricFamily("spotter_worker_busy", "Pictures in a worker's hands.", labels=["worker"])
    stages = HistogramMetricFamily("spotter_stage_seconds", "Time of a stage.", labels=["worker", "stage"])
    for report in live:
        busy.add_metric([report.worker], report.busy)
        for stage, histogram in sorted(report.stages.items()):
            total, buckets = 0, []
            for bound, hits in zip([*BUCKETS_MS, float("inf")], histogram["counts"], strict=True):
                total += hits
                buckets.append(("+Inf" if bound == float("inf") else str(bound / 1000), total))
            stages.add_metric([report.worker, stage.removesuffix("_ms")], buckets, histogram["sum_ms"] / 1000)
    yield from (count, busy, stages)

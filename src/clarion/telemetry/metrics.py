"""Prometheus metrics of this process, and of its sister processes where they share a directory.

Each role is a process of its own. With a directory set, prometheus_client keeps every process's
numbers in memory-mapped files there, and whoever serves `/metrics` adds them up: counters and
histograms as sums, gauges by live process. Without one, `/metrics` shows this process only.
"""

import os
from bisect import bisect_left
from collections import Counter as Counting
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client import multiprocess as shared
from prometheus_client import values as backing

from clarion.telemetry.names import COUNTERS, GAUGES, HISTOGRAMS, Metric

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one process; made once, at its start."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._registry = CollectorRegistry(auto_describe=True)
        self._counting: dict[tuple[Metric, tuple[str, ...]], Counter] = {}
        self._observing: dict[tuple[Metric, tuple[str, ...]], Histogram] = {}
        if directory is None:
            backing.ValueClass = backing.MutexValue
        else:
            share(directory)
        self._counters: Mapping[Metric, Counter] = MappingProxyType(
            {
                m: Counter(m.value, s.help, s.labels, registry=self._registry)
                for m, s in COUNTERS.items()
            }
        )
        self._gauges: Mapping[Metric, Gauge] = MappingProxyType(
            {
                m: Gauge(
                    m.value, s.help, s.labels, registry=self._registry, multiprocess_mode="livesum"
                )
                for m, s in GAUGES.items()
            }
        )
        self._histograms: Mapping[Metric, Histogram] = MappingProxyType(
            {
                m: Histogram(m.value, s.help, s.labels, registry=self._registry, buckets=s.buckets)
                for m, s in HISTOGRAMS.items()
            }
        )

    def add(self, metric: Metric, *labels: str, amount: float = 1) -> None:
        """Count. The labels are those of the metric's `MetricSpec`, in order."""
        child = self._counting.get((metric, labels))
        if child is None:
            counter = self._counters[metric]
            child = counter.labels(*labels) if labels else counter
            self._counting[metric, labels] = child
        child.inc(amount)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Record a duration in seconds."""
        self._histogram(metric, labels).observe(value)

    def observe_all(self, metric: Metric, values: Sequence[float], *labels: str) -> None:
        """Record durations in seconds: each of them alone costs as much as all of them together.

        prometheus_client has no such call, so its histogram's own numbers are raised.
        """
        histogram = self._histogram(metric, labels)
        bounds = histogram._upper_bounds  # noqa: SLF001  as said above
        within = Counting(bisect_left(bounds, value) for value in values)
        for bucket, number in within.items():
            histogram._buckets[bucket].inc(number)  # noqa: SLF001
        histogram._sum.inc(sum(values))  # noqa: SLF001

    def _histogram(self, metric: Metric, labels: tuple[str, ...]) -> Histogram:
        child = self._observing.get((metric, labels))
        if child is None:
            histogram = self._histograms[metric]
            child = histogram.labels(*labels) if labels else histogram
            self._observing[metric, labels] = child
        return child

    def level(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[metric]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes: all processes of the directory, or this one."""
        if self._directory is None:
            return generate_latest(self._registry)
        merged = CollectorRegistry()
        shared.MultiProcessCollector(merged, path=str(self._directory))  # type: ignore[no-untyped-call]
        return generate_latest(merged)


def share(directory: Path) -> None:
    """Keep this process's numbers in `directory` from now on; before the first `Metrics`.

    prometheus_client chooses its storage once, at import, and asks the environment where to put
    its files; choosing here keeps settings in one place.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)  # noqa: TID251  it asks nowhere else
    backing.ValueClass = backing.MultiProcessValue(os.getpid)  # type: ignore[no-untyped-call]


def sweep(directory: Path) -> None:
    """Forget the numbers of processes of an earlier run; only before any process of this one."""
    for file in directory.glob("*.db"):
        file.unlink(missing_ok=True)


def forget(directory: Path, pid: int) -> None:
    """A process has ended: its gauges no longer count (its counters do)."""
    shared.mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]

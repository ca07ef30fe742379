"""Counts that are added to the metrics once a second: a metric costs more than what it counts."""

from collections import defaultdict

from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import Metric


class Tally:
    """What was counted since the last time."""

    __slots__ = ("_counts", "_metrics")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counts: defaultdict[tuple[Metric, str], int] = defaultdict(int)

    def add(self, metric: Metric, label: str) -> None:
        """Count one."""
        self._counts[metric, label] += 1

    def tell(self) -> None:
        """Add everything to the metrics."""
        for (metric, label), count in self._counts.items():
            self._metrics.add(metric, label, amount=count)
        self._counts.clear()

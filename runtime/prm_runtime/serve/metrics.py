"""Counters for Prometheus: what ``/metrics`` says."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prm_runtime.serve.hub import Hub
from prm_runtime.sinks.base import Result
from prm_runtime.sources.status import SourceState
from prm_runtime.timing import STAGES, StageTimes

_LATENCY_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)
_SOURCE_COUNTS = {
    "frames": "Frames read and decoded.",
    "dropped": "Frames that a newer one replaced before they were taken.",
    "skipped": "Parts that could not be read.",
    "reconnects": "Times that the source came back.",
}


class Metrics:
    """The metrics of one page, in a registry of their own."""

    def __init__(self, hub: Hub) -> None:
        """Start at zero; source states are read from ``hub`` when asked for."""
        self._hub = hub
        self._registry = CollectorRegistry()
        self._results = Counter("prm_results", "Frames with a result.", ["source"], registry=self._registry)
        self._instances = Counter(
            "prm_instances", "Instances found.", ["source", "label"], registry=self._registry
        )
        self._latency = Histogram(
            "prm_latency_seconds",
            "From the capture of a frame to its result.",
            ["source"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self.viewers = Gauge("prm_viewers", "Browsers that watch.", registry=self._registry)
        self._sources = _RunCollector(hub)
        self._registry.register(self._sources)
        ProcessCollector(registry=self._registry)

    def count(self, result: Result, latency_s: float) -> None:
        """Count a result."""
        source = self._hub.statuses[self._hub.channel_of(result.frame)].name
        self._results.labels(source).inc()
        self._latency.labels(source).observe(latency_s)
        for label, count in Tally(result.instances.labels).items():
            self._instances.labels(source, label).inc(count)
        self._sources.times = result.times

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _RunCollector(Collector):
    """Metrics that others keep: states and counts of the sources, seconds per stage."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.times: StageTimes | None = None

    def collect(self) -> Iterator[Metric]:
        statuses = self._hub.statuses
        state = GaugeMetricFamily(
            "prm_source_state", "1 for the state that a source is in.", labels=["source", "state"]
        )
        for status in statuses:
            for name in SourceState:
                state.add_metric([status.name, name.value], float(status.state is name))
        yield state
        for count, text in _SOURCE_COUNTS.items():
            family = CounterMetricFamily(f"prm_source_{count}", text, labels=["source"])
            for status in statuses:
                family.add_metric([status.name], getattr(status, count))
            yield family
        stages = CounterMetricFamily("prm_stage_seconds", "Seconds spent per stage.", labels=["stage"])
        if self.times is not None:
            for stage in STAGES:
                stages.add_metric([stage], self.times.seconds(stage))
        yield stages

"""What an operator can measure. No label ever names a course or a viewer: series must stay few.

One Metrics per process; web and live count on it. With several workers the parent sets
PROMETHEUS_MULTIPROC_DIR and `/metrics` of any worker adds all of them up.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
)

GROUP_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"


class Metrics:
    """Answers are counted in a dictionary; `settle` runs twice per SWEEP_INTERVAL and before rendering."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        requests = self._counter("presence_requests", "requests answered", ["route", "status"])
        self._requests = requests
        self._answered: dict[tuple[str, int], int] = {}
        self.group = Histogram(
            "presence_batch_size",
            "heartbeats and leaves per exchange with Redis",
            buckets=GROUP_BUCKETS,
            registry=self.registry,
        )
        self.exchange = Histogram(
            "presence_redis_seconds",
            "time of an exchange with Redis",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.redis_failures = self._counter("presence_redis_failures", "exchanges with Redis that failed")
        self.redis_errors = self._counter(
            "presence_redis_errors", "error replies of Redis, by their first word", ["code"]
        )
        self.expired = self._counter("presence_expired_viewers", "viewers whose lease ended without a leave")
        self.minutes_closed = self._counter("presence_minutes_closed", "minutes of history written")
        self.partial = self._counter(
            "presence_history_partial", "minutes of history written that are partial"
        )
        self.repaired = self._counter(
            "presence_repaired_texts",
            "bodies, messages and tokens in which half a surrogate pair was replaced",
        )
        self.frames = self._counter("presence_frames", "frames handed to streams")
        self.resubscribed = self._counter("presence_resubscriptions", "subscriptions to Redis that were lost")
        self._over_rate = self._counter(
            "presence_over_rate", "requests and messages refused by a rate limit", ["policy"]
        )
        self.streams = self._gauge("presence_streams", "open streams and sockets", "livesum")
        self.loop_lag = Histogram(
            "presence_loop_lag_seconds",
            "how late the event loop ran what was due",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        heads = {
            "viewers": "viewers present",
            "anonymous_viewers": "anonymous viewers present",
            "courses": "courses with viewers",
        }
        self._heads = [
            self._gauge(f"presence_{name}", f"{help_}, over all courses and replicas", "livemostrecent")
            for name, help_ in heads.items()
        ]
        self.files_limit = self._gauge(
            "presence_open_files_limit", "files that a worker may open, connections included", "livemin"
        )
        self.files_scarce = self._gauge(
            "presence_open_files_scarce", "workers that are near the limit on open files", "livesum"
        )
        self._node_up = Gauge(
            "presence_redis_node_up",
            "whether this Redis server answers",
            ["node"],
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self._node_exchanges = self._counter(
            "presence_redis_node_exchanges", "exchanges with this Redis server", ["node"]
        )
        self._redirections = self._counter(
            "presence_redis_redirections", "commands that a Cluster node redirected", ["kind"]
        )
        self.sweep_lag = Gauge(
            "presence_sweep_lag_seconds",
            "how long the most overdue course has waited for its sweep",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._known: set[str] = set()
        self._counted: dict[tuple[str, str], int] = {}
        self.look: Callable[[], object] = lambda: None  # at Redis's servers: on the loop, before rendering
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            ProcessCollector(registry=self.registry)

    def _counter(self, name: str, help_: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, help_, labels or [], registry=self.registry)

    def _gauge(self, name: str, help_: str, mode: Literal["livesum", "livemin", "livemostrecent"]) -> Gauge:
        return Gauge(name, help_, registry=self.registry, multiprocess_mode=mode)

    def answered(self, route: str, status: int) -> None:
        """Counts one answer; `route` is a route's name, never a path."""
        key = (route, status)
        self._answered[key] = self._answered.get(key, 0) + 1

    def closed(self, minutes: int, partial: int) -> None:
        """Counts minutes of history that this process has closed."""
        self.minutes_closed.inc(minutes)
        self.partial.inc(partial)

    def count_heads(self, found: Sequence[int] | None) -> None:
        """Sets viewers, the anonymous among them, and courses; None = nobody knows, which is not 0."""
        for place, gauge in enumerate(self._heads):
            gauge.set(found[place] if found else math.nan)

    def over_rate(self, policy: str) -> None:
        """Counts one refusal; `policy` is a rate's name."""
        self._over_rate.labels(policy).inc()

    def refused(self, code: str) -> None:
        """Counts an error of Redis by its first word: OOM, READONLY, NOPERM, ..."""
        self.redis_errors.labels(code).inc()

    def nodes(
        self, nodes: Iterable[tuple[str, bool, int]], redirections: Mapping[str, int], lag_s: float
    ) -> None:
        """Takes each server's state, what has been counted since the start, and how late sweeps are."""
        self.sweep_lag.set(lag_s)
        states = list(nodes)
        for name in self._known - {name for name, _, _ in states}:
            self._node_up.labels(name).set(float("nan"))  # neither up nor down: it is no longer one
        self._known |= {name for name, _, _ in states}
        for name, is_up, exchanges in states:
            self._node_up.labels(name).set(is_up)
            self._node_exchanges.labels(name).inc(self._more("node", name, exchanges))
        for kind, many in redirections.items():
            self._redirections.labels(kind).inc(self._more("kind", kind, many))

    def _more(self, what: str, name: str, many: int) -> int:
        """How many more than the last time; a server that is met again counts from 0."""
        before = self._counted.get((what, name), 0)
        self._counted[what, name] = many
        return many - before if many >= before else many

    def settle(self) -> None:
        """Adds what `answered` has gathered to the counters, whose locks are too slow for every heartbeat."""
        gathered, self._answered = self._answered, {}
        for (route, status), n in gathered.items():
            self._requests.labels(route, str(status)).inc(n)

    def render(self) -> bytes:
        """In the text format, for all workers together (their counts are at most SWEEP_INTERVAL old)."""
        self.settle()
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

"""Heartbeats and reads by wrk, on the driver's core: a Lua script, one pass over all viewers, then rounds.

Used by the rows that compare rates. Every viewer is heard again and again in the same disorder, each time
with a higher seq, so that all heartbeats after the first pass are steady ones.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from tests.benchmarks.process import DRIVER_CORE, cpu_s, on_core
from tests.benchmarks.row import need

SCRIPTS = Path(__file__).parent / "wrk"
CONNECTIONS = 128
WARM_S = 1.0
WARM_ROUNDS = 120
TRIES = 3  # a machine that is busy elsewhere may keep Redis from answering within its 0.3 s


class Refused(RuntimeError):
    """Some answers were no 2xx: what was measured is not what was asked for."""


class Cost(NamedTuple):
    """What a run has shown: operations per second, and processor time of the server per operation."""

    rate: float
    us: float
    us_with_redis: float


class Load:
    """One script against one server. `per_call` operations travel in each request."""

    def __init__(
        self,
        url: str,
        script: str,
        *,
        courses: int = 1,
        viewers: int = 1,
        tokens: Sequence[str] = (),
        per_call: int = 1,
        connections: int = CONNECTIONS,
    ) -> None:
        self._wrk = need("wrk", "wrk")
        self._url = url
        self._script = SCRIPTS / f"{script}.lua"
        self._courses, self._viewers = courses, viewers
        self._tokens = list(tokens)
        self._per_call = per_call
        self._connections = connections
        self._said = 0

    def __enter__(self) -> Self:
        self._file = tempfile.NamedTemporaryFile("w", suffix=".tokens")
        self._file.write("\n".join(self._tokens))
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def run(self, seconds: float) -> tuple[int, float]:
        """Operations and seconds. Raises Refused."""
        arguments = (self._courses, self._viewers, self._said, self._per_call, self._file.name)
        command = [self._wrk, "-t1", f"-c{self._connections}", f"-d{max(1, round(seconds))}s"]
        command += ["--timeout", "5s", "-s", str(self._script), self._url, "--", *map(str, arguments)]
        with on_core(DRIVER_CORE):
            said = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds + 60, check=True
            ).stdout
        result = json.loads(said[said.rindex("\n{") :])
        if result["errors"] or not result["requests"]:
            raise Refused(f"{self._url} did not answer as it should: {result}")
        self._said += (result["requests"] + self._connections) * self._per_call
        return result["requests"] * self._per_call, result["seconds"]

    def warm(self) -> None:
        """Until every viewer has been heard once."""
        for _ in range(WARM_ROUNDS):
            with suppress(Refused):
                self.run(WARM_S)
            if self._said >= self._courses * self._viewers + self._connections:
                return
        raise RuntimeError(f"{self._url} is too slow to be measured")

    def measure(self, seconds: float, server: int, redis: int | None = None) -> Cost:
        """A run's rate, and what it cost these processes. Raises Refused when it fails again and again."""
        for _ in range(TRIES - 1):
            with suppress(Refused):
                return self._measure(seconds, server, redis)
        return self._measure(seconds, server, redis)

    def _measure(self, seconds: float, server: int, redis: int | None) -> Cost:
        pids = (server,) if redis is None else (server, redis)
        before = [cpu_s(pid) for pid in pids]
        operations, took = self.run(seconds)
        used = [(cpu_s(pid) - was) / operations * 1e6 for pid, was in zip(pids, before, strict=True)]
        return Cost(operations / took, used[0], sum(used))

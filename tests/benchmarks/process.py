"""Processes under measurement: on which core they start, what they have used, and how they end.

Linux only. Servers run on the first core that we may use, driver and Redis on the last one.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig

START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 5.0
# A crowd of the benchmark is heard less often than players are, since sides take turns: nobody shall lapse.
LONG_LEASES = {"PRESENCE_TTL": "600", "PRESENCE_HIDDEN_TTL": "600"}
PAGE = os.sysconf("SC_PAGE_SIZE")
CORES = os.sched_getaffinity(0)
SERVER_CORE, DRIVER_CORE = min(CORES), max(CORES)


@contextmanager
def on_core(*cores: int) -> Iterator[None]:
    """What is started inside stays there, as by taskset."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(pid: int) -> list[int]:
    """This process and all that descend from it."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def cpu_s(*pids: int) -> float:
    """Processor time that these and their children have used, user and system, in nanosecond steps.

    utime + stime of /proc/PID/stat, from the process's own clock: stat counts in steps of 10 ms.
    """
    return sum(time.clock_gettime((~one << 3) | 2) for pid in pids for one in family(pid))


def rss_bytes(pid: int) -> int:
    """Memory that this process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def allow_many_files() -> None:
    """Thousands of sockets, here and in what we start."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))


@contextmanager
def redis(*options: str, binary: str | None = None) -> Iterator[tuple[EmbeddedServer, str]]:
    """An empty Redis with a TCP port on the driver's core, and its URL: the way most people reach theirs."""
    port = str(rig.free_port())
    with on_core(DRIVER_CORE):
        server = EmbeddedServer(binary=binary, options=("--port", port, "--bind", "127.0.0.1", *options))
        server.start()
    try:
        yield server, f"redis://127.0.0.1:{port}"
    finally:
        server.stop()


@contextmanager
def service(
    redis_url: str, env: Mapping[str, str] | None = None, cores: Iterable[int] = (SERVER_CORE,)
) -> Iterator[rig.Service]:
    """`presence-svc serve` with its defaults, on the servers' core unless told otherwise."""
    made = rig.Service({**rig.SHIPPED, "PRESENCE_REDIS_URL": redis_url, **(env or {})}, is_measured=True)
    with on_core(*cores):
        made.start()
    try:
        yield made
    finally:
        made.close()


class Program:
    """Any other server: started on the servers' core, ready when its port takes connections."""

    def __init__(self, command: Sequence[str], port: int, env: Mapping[str, str] | None = None) -> None:
        self._command = list(command)
        self._env = {**os.environ, **(env or {})}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        with on_core(SERVER_CORE):
            self._process = subprocess.Popen(
                self._command, cwd=rig.ROOT, env=self._env, stdout=self._log, stderr=self._log
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(f"{self._command[0]} did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

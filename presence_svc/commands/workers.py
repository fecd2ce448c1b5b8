"""Several processes on one socket: uvicorn's supervisor, and what it does not do itself.

Used by commands.serve. Removes the gauges of a dead worker, and ends workers whose parent has died.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ..errors import Misconfigured
from .stop import NUMBERS, Stop

log = logging.getLogger("presence.serve")
FORCED_S = 5.0  # for workers to end after a second signal
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
METRICS_PREFIX = "presence-metrics-"


class Asked(threading.Event):
    """uvicorn's wish to end, set as soon as a signal waits: it looks at its queue between its steps only.

    One of these steps replaces every worker, and would go on with the next after Ctrl-C.
    """

    def __init__(self, queue: list[int]) -> None:
        super().__init__()
        self._queue = queue

    def is_set(self) -> bool:
        return super().is_set() or not {*self._queue, *signal.sigpending()}.isdisjoint(NUMBERS)


class Workers(Multiprocess):
    """Starts, watches and ends `config.workers` processes; they have `patience_s` to end by themselves."""

    def __init__(
        self, config: uvicorn.Config, listeners: list[socket.socket], stop: Stop, patience_s: float
    ) -> None:
        super().__init__(config, listeners)  # from here on it hears the signals
        self.signal_queue += stop.heard[:1]
        self.should_exit = Asked(self.signal_queue)
        self._patience_s = patience_s

    def serve(self) -> int:
        """Runs until a signal. Returns the exit status: not 0 when a worker could not even start."""
        self.run()
        failed = any(process.exitcode == STARTUP_FAILURE for process in self.processes)
        return STARTUP_FAILURE if failed else 0

    def join_all(self) -> None:
        """A second signal goes on to the workers: they end at once. Who does not end is killed."""
        deadline = time.monotonic() + self._patience_s
        for process in self.processes:
            while process.process.is_alive():
                process.process.join(0.1)
                if self.signal_queue:
                    self.signal_queue.clear()
                    self._signal_all(signal.SIGTERM)
                    deadline = min(deadline, time.monotonic() + FORCED_S)
                if time.monotonic() > deadline:
                    log.error("worker %s does not end: it is killed", process.pid)
                    process.process.kill()

    def _signal_all(self, number: int) -> None:
        for process in self.processes:
            if process.process.is_alive() and process.pid is not None:
                os.kill(process.pid, number)

    def init_processes(self) -> None:
        if not self.should_exit.is_set():
            with _interrupts_wait():
                super().init_processes()

    def restart_all(self) -> None:
        """On SIGHUP: one after the other, each in order."""
        with self._forgetting(), _interrupts_wait():
            super().restart_all()

    def handle_ttin(self) -> None:
        with _interrupts_wait():
            super().handle_ttin()

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            if self.should_exit.is_set():
                return
            process.child_conn.close()  # the worker has its own: without ours, its death ends a ping
            if not process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                process.kill()  # now, so that no ping is waited for while interrupts wait
        with self._forgetting(), _interrupts_wait():
            super().keep_subprocess_alive()

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Of workers that are others at the end, the gauges go: else what they had open stays counted."""
        before = {process.pid for process in self.processes}
        yield
        for pid in before - {process.pid for process in self.processes}:
            forget(pid)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Workers that start inside begin with SIGINT blocked, until `startup` unblocks it.

    Ctrl-C reaches the whole process group. A worker that is still importing would die with a traceback.
    """
    resource_tracker.ensure_running()  # if it started inside, it would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def forget(pid: int | None) -> None:
    """Removes the gauges of a worker that was killed; otherwise its streams would be counted for ever."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


@contextmanager
def metrics_directory() -> Iterator[None]:
    """In the parent, before workers start: a new, empty directory in which their metrics are added up.

    Raises Misconfigured where nothing can be written.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=METRICS_PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        raise Misconfigured(
            f"PRESENCE_WORKERS over 1 needs a place to write to ({error.strerror}): mount one at /tmp, or"
            " name one in TMPDIR"
        ) from None
    with made as directory:
        os.environ[METRICS_DIR] = directory
        yield


@contextmanager
def startup() -> Iterator[None]:
    """In a worker, around the creation of its app: a failure there ends the parent too.

    The supervisor gives up only on this exit status; after any other it would start the same failure again.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # uvicorn's handlers are installed now
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal's end is the parent's to judge
    _end_with_parent()
    try:
        yield
    except Exception:
        log.exception("the app cannot be created")
        raise SystemExit(STARTUP_FAILURE) from None


def _end_with_parent() -> None:
    """In a worker: shuts it down cleanly when the parent has died, even by kill -9.

    Otherwise orphans would keep the port, while their embedded server has ended with the parent.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        _remove_metrics()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def _remove_metrics() -> None:
    """Removes the metrics directory in the parent's place, and only one that the parent made."""
    directory = Path(os.environ.get(METRICS_DIR, ""))
    if directory.name.startswith(METRICS_PREFIX):
        shutil.rmtree(directory, ignore_errors=True)

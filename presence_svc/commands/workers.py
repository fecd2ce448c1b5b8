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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from ..errors import Misconfigured
from .stop import Asked, Stop, interrupts_wait

log = logging.getLogger("presence.serve")
FORCED_S = 5.0  # for workers to end after a second signal
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
METRICS_PREFIX = "presence-metrics-"


class Workers(Multiprocess):
    """Starts, watches and ends `config.workers` processes; they have `patience_s` to end by themselves."""

    _leaving: Sequence[Process] = ()  # told to end, with another in its place

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
        for process in (*self._leaving, *self.processes):
            while process.process.is_alive():
                _join(process, deadline)
                if self.signal_queue:
                    self.signal_queue.clear()
                    self._signal_all(signal.SIGTERM)
                    deadline = min(deadline, time.monotonic() + FORCED_S)

    def _signal_all(self, number: int) -> None:
        for process in (*self._leaving, *self.processes):
            if process.process.is_alive() and process.pid is not None:
                os.kill(process.pid, number)

    def init_processes(self) -> None:
        if not self.should_exit.is_set():
            with interrupts_wait():
                super().init_processes()

    def restart_all(self) -> None:
        """On SIGHUP: one after the other. Each ends in order once another serves in its place."""
        with interrupts_wait():
            for index, old in enumerate(self.processes):
                if self.should_exit.is_set() or (new := self._start_for(old)) is None:
                    return
                self.processes[index], self._leaving = new, [old]
                old.terminate()
                deadline = time.monotonic() + self._patience_s
                while old.process.is_alive():
                    if self.should_exit.is_set():
                        return  # it goes on leaving, beside the others
                    _join(old, deadline)
                self._leaving = []
                forget(old.pid)

    def _start_for(self, old: Process) -> Process | None:
        """A worker that serves beside the old one; None where the new one does not come to serve."""
        new = Process(self.config, self.sockets)
        new.start()
        if new.wait_until_ready(self.config.timeout_worker_healthcheck, self.should_exit):
            return new
        new.kill()
        new.join()
        forget(new.pid)
        if not self.should_exit.is_set():
            log.error("worker %s did not start, so that worker %s goes on", new.pid, old.pid)
        return None

    def handle_ttin(self) -> None:
        with interrupts_wait():
            super().handle_ttin()

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            if self.should_exit.is_set():
                return
            process.child_conn.close()  # the worker has its own: without ours, its death ends a ping
            if not process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                process.kill()  # now, so that no ping is waited for while interrupts wait
        with self._forgetting(), interrupts_wait():
            super().keep_subprocess_alive()

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Of workers that are others at the end, the gauges go: else what they had open stays counted."""
        before = {process.pid for process in self.processes}
        yield
        for pid in before - {process.pid for process in self.processes}:
            forget(pid)


def _join(process: Process, deadline: float) -> None:
    """Waits a moment for its end. Kills it after the deadline."""
    process.process.join(0.1)
    if process.process.is_alive() and time.monotonic() > deadline:
        log.error("worker %s did not end in time and is killed", process.pid)
        process.process.kill()


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
            f"PRESENCE_WORKERS over 1 needs a writable directory ({error.strerror}): mount one at /tmp, or"
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

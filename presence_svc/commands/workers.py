"""Several processes on one socket: uvicorn's supervisor, and what it leaves undone.

Used by commands.serve. A dead worker's gauges go with it, and workers end with their parent.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
METRICS_PREFIX = "presence-metrics-"


class Workers(Multiprocess):
    """Starts, watches and ends `config.workers` processes."""

    def serve(self) -> int:
        """Until a signal ends it. The exit status: not 0 when a worker could not even start."""
        self.run()
        failed = any(process.exitcode == STARTUP_FAILURE for process in self.processes)
        return STARTUP_FAILURE if failed else 0

    def init_processes(self) -> None:
        with _interrupts_wait():
            super().init_processes()

    def restart_all(self) -> None:
        with _interrupts_wait():
            super().restart_all()

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            process.child_conn.close()  # the worker has its own; now its death ends a ping at once
        before = {process.pid for process in self.processes}
        with _interrupts_wait():
            super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            forget(pid)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Workers that are started within are born with SIGINT held back, until they can drain (`startup`).

    Ctrl-C reaches the whole group, also a worker that is still importing: it would die with a traceback.
    """
    resource_tracker.ensure_running()  # when it starts within, it lets SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def forget(pid: int | None) -> None:
    """A worker that was killed said no goodbye: without this its streams are counted for ever."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


@contextmanager
def metrics_directory() -> Iterator[None]:
    """In the parent: where the workers' metrics meet, new and empty, named before they start."""
    with tempfile.TemporaryDirectory(prefix=METRICS_PREFIX, ignore_cleanup_errors=True) as directory:
        os.environ[METRICS_DIR] = directory
        yield


@contextmanager
def startup() -> Iterator[None]:
    """In a worker, around the making of its app: a failure ends the parent too, and not in a loop.

    The supervisor gives up on this status only, and replaces a worker that ends with any other at once.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # uvicorn's handlers are in place
    _end_with_parent()
    try:
        yield
    except Exception:
        logging.getLogger("presence.serve").exception("the app cannot be made")
        raise SystemExit(STARTUP_FAILURE) from None


def _end_with_parent() -> None:
    """In a worker: ends it (with its drain) when the parent is gone, even by kill -9.

    Otherwise orphans would hold the port, with a Redis that ended with the parent.
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
    """What the parent would have done: only a directory that it made."""
    directory = Path(os.environ.get(METRICS_DIR, ""))
    if directory.name.startswith(METRICS_PREFIX):
        shutil.rmtree(directory, ignore_errors=True)

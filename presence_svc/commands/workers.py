"""Several processes on one socket: uvicorn's supervisor, and two things that it does not do.

Used by commands.serve. A dead worker's gauges go with it, and workers end with their parent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess


class Workers(Multiprocess):
    """Starts, watches and ends `config.workers` processes."""

    def serve(self) -> int:
        """Until a signal ends it. The exit status: not 0 when a worker could not even start."""
        self.run()
        failed = any(process.exitcode == STARTUP_FAILURE for process in self.processes)
        return STARTUP_FAILURE if failed else 0

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            process.child_conn.close()  # the worker has its own; now its death ends a ping at once
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            forget(pid)


def forget(pid: int | None) -> None:
    """A worker that was killed said no goodbye: without this its streams are counted for ever."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def end_with_parent() -> None:
    """In a worker: ends it (with its drain) when the parent is gone, even by kill -9.

    Otherwise orphans would hold the port, with a Redis that ended with the parent.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()

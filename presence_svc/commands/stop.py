"""SIGTERM and SIGINT while a service starts: written down, so that none is lost between two handlers.

Used by commands.serve and workers. A handler that raises would not do: Python drops what is raised within the
callback of a weak reference or a `__del__`, and each import ends with such a callback.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

import uvicorn

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """From `listen` on `heard` has what came; whoever takes the signals over looks at it once it has them."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def listen(self) -> None:
        """Only in the main thread. SIGHUP ends as SIGTERM does; several workers are replaced by it."""
        for number in NUMBERS:
            signal.signal(number, self._hear)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # by nohup
            signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))

    def _hear(self, number: int, frame: object) -> None:
        self.heard.append(number)


class Asked(threading.Event):
    """uvicorn's wish to end, set as soon as a signal waits: it looks at its queue between its steps only.

    One of these steps replaces every worker, and would go on with the next after Ctrl-C.
    """

    def __init__(self, queue: list[int]) -> None:
        super().__init__()
        self._queue = queue

    def is_set(self) -> bool:
        return super().is_set() or not {*self._queue, *signal.sigpending()}.isdisjoint(NUMBERS)


class Server(uvicorn.Server):
    """uvicorn in this process. After its end the signals are written down again."""

    def __init__(self, config: uvicorn.Config, stop: Stop) -> None:
        super().__init__(config)
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            for number in self._stop.heard[:1]:  # a second one would cut off what has not begun
                self.handle_exit(number, None)
            yield


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Workers that start inside begin with SIGINT blocked, until `workers.startup` unblocks it.

    Ctrl-C reaches the whole process group. A worker that is still importing would die with a traceback.
    """
    resource_tracker.ensure_running()  # if it started inside, it would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

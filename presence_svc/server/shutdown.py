"""Hears of SIGTERM and SIGINT before uvicorn waits for open connections. Used by app's lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def on_shutdown(close: Callable[[], None]) -> Iterator[None]:
    """Hears of SIGTERM and SIGINT before uvicorn waits for connections: streams would never end."""
    loop = asyncio.get_running_loop()
    before = {}

    def wrap(number: signal.Signals) -> None:
        old = signal.getsignal(number)

        def handle(signum: int, frame: Any) -> None:
            loop.call_soon_threadsafe(close)
            if callable(old):
                old(signum, frame)

        before[number] = old
        signal.signal(number, handle)

    with contextlib.suppress(ValueError):  # not the main thread: somebody else owns the signals
        for number in (signal.SIGTERM, signal.SIGINT):
            wrap(number)
    try:
        yield
    finally:
        close()
        for number, old in before.items():
            signal.signal(number, old)

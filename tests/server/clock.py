"""A loop whose time passes when a test says so, and a transport that keeps what is written.

Used by test_fast_path_clock and test_websocket.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from typing import Any


class Timer:
    """What a loop gives for a call later."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.is_cancelled = at, call, False

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.is_cancelled = True


class Task:
    """What a loop gives for a coroutine; this one never runs."""

    def add_done_callback(self, call: Callable[..., None]) -> None:
        pass


class Clock:
    """A loop whose time passes when a test says so. Tasks of the ASGI app are noted and never run."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.tasks = 0
        self._timers: list[tuple[float, int, Timer]] = []
        self._made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[..., None], *args: Any) -> Timer:
        timer = Timer(at, lambda: call(*args))
        self._made += 1
        heapq.heappush(self._timers, (at, self._made, timer))
        return timer

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> Timer:
        return self.call_at(self.now + delay, call, *args)

    def call_soon(self, call: Callable[..., None], *args: Any) -> Timer:
        return self.call_at(self.now, call, *args)

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        coroutine.close()
        self.tasks += 1
        return Task()

    def passes(self, seconds: float) -> None:
        """Everything that falls due meanwhile happens, in order."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            at, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            if not timer.is_cancelled:
                timer.call()
        self.now = end


class Wire:
    """A transport that keeps what is written; `is_full` makes the next write pause the protocol."""

    def __init__(self) -> None:
        self.protocol: asyncio.Protocol | None = None
        self.written: list[bytes] = []
        self.ended = ""
        self.is_full = False
        self.is_reading = True

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.is_full and self.protocol is not None:
            self.protocol.pause_writing()

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def get_protocol(self) -> asyncio.Protocol | None:
        return self.protocol

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 6)}.get(name)

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

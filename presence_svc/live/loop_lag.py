"""Measures the lag of the event loop: how late a timer fires, which delays everybody on this replica.

Owned by app. A timer fires every quarter of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY_S = 0.25


class LoopLag:
    """Calls `on_lag` with the lag in seconds."""

    def __init__(self, on_lag: Callable[[float], None]) -> None:
        self._on_lag = on_lag
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(EVERY_S, self._ring, self._loop.time() + EVERY_S)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self, due: float) -> None:
        self._on_lag(max(0.0, self._loop.time() - due))
        self.start()

"""Notices that this process was stopped for long (SIGSTOP, a frozen container, a host asleep).

Owned by app, asked by store.presence. What clients said meanwhile lies in our sockets as if it were new: sent
now, it would bring back who has left elsewhere. It is refused, and who is still there says it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

log = logging.getLogger("presence.standstill")
TICKS = 8  # within the limit
GRACE_S = 1.0  # in which all that lay in the sockets has been read


class Standstill:
    """`is_late` for a moment after the loop has not turned for `limit_s`; `on_stop(seconds)` hears of it."""

    def __init__(self, limit_s: float, on_stop: Callable[[float], None] = lambda seconds: None) -> None:
        self._limit_s = limit_s
        self._on_stop = on_stop
        self._turned_at: float | None = None
        self._late_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._look(_now())
        self._timer = asyncio.get_running_loop().call_later(self._limit_s / TICKS, self.start)

    def stop(self) -> None:
        self._turned_at = None
        if self._timer:
            self._timer.cancel()

    def is_late(self) -> bool:
        """Asked before the timer had its turn, it looks itself."""
        now = _now()
        if self._turned_at is not None:
            self._look(now)
        return now < self._late_until

    def _look(self, now: float) -> None:
        if self._turned_at is not None and now - self._turned_at > self._limit_s:
            stopped_s = now - self._turned_at
            log.warning("this process stood still for %.1f s: what has waited is refused", stopped_s)
            self._late_until, self._turned_at = now + GRACE_S, now
            self._on_stop(stopped_s)
        self._turned_at = now


def _now() -> float:
    """Goes on while the host sleeps, where the system can tell."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)

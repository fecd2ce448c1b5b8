"""Detects that this process was suspended (SIGSTOP, a frozen container, a sleeping host).

Owned by app, asked by store.presence. Requests from that time wait in our sockets and look new; recording
them now could bring back viewers who have left elsewhere. They are refused, and viewers who are still there
send the next heartbeat anyway.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

log = logging.getLogger("presence.suspension")
TICKS = 8  # checks within the limit
GRACE_S = 1.0  # enough to read everything that waited in the sockets


class SuspensionDetector:
    """`is_late` is true for a moment after the event loop has not run for `limit_s` seconds.

    At that time it also calls `on_suspension(seconds)`.
    """

    def __init__(self, limit_s: float, on_suspension: Callable[[float], None] = lambda seconds: None) -> None:
        self._limit_s = limit_s
        self._on_suspension = on_suspension
        self._ran_at: float | None = None
        self._late_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._check(_now())
        self._timer = asyncio.get_running_loop().call_later(self._limit_s / TICKS, self.start)

    def stop(self) -> None:
        self._ran_at = None
        if self._timer:
            self._timer.cancel()

    def is_late(self) -> bool:
        """Whether requests at hand may be outdated. It checks itself: the timer may not have run yet."""
        now = _now()
        if self._ran_at is not None:
            self._check(now)
        return now < self._late_until

    def _check(self, now: float) -> None:
        if self._ran_at is not None and now - self._ran_at > self._limit_s:
            lasted_s = now - self._ran_at
            log.warning("this process was suspended for %.1f s: requests that waited are refused", lasted_s)
            self._late_until, self._ran_at = now + GRACE_S, now
            self._on_suspension(lasted_s)
        self._ran_at = now


def _now() -> float:
    """A clock that runs on while the host sleeps, where the system has one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)

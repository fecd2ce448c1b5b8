"""The callers that wait for a connection: two queues, low priority behind the other. Used by pool."""

from __future__ import annotations

import asyncio
from collections import deque

from ...errors import Unavailable
from .connection import Connection

Waiter = asyncio.Future[Connection]


class Waiters:
    """Each waiter is a future for a connection. Those that have given up meanwhile are skipped."""

    def __init__(self) -> None:
        self._first: deque[Waiter] = deque()
        self._low_priority: deque[Waiter] = deque()

    def __bool__(self) -> bool:
        return bool(self._first or self._low_priority)

    def add(self, *, low_priority: bool) -> Waiter:
        waiter: Waiter = asyncio.get_running_loop().create_future()
        (self._low_priority if low_priority else self._first).append(waiter)
        return waiter

    def put_back(self, waiter: Waiter, *, low_priority: bool) -> None:
        """Returns a waiter to the head of its queue."""
        (self._low_priority if low_priority else self._first).appendleft(waiter)

    def discard(self, waiter: Waiter) -> None:
        for queue in (self._first, self._low_priority):
            if waiter in queue:
                queue.remove(waiter)

    def wanted(self, low_priority_allowed: int) -> int:
        """How many connections could be used now."""
        return len(self._first) + min(len(self._low_priority), low_priority_allowed)

    def next(self, *, low_priority: bool) -> tuple[Waiter, bool] | None:
        """The next waiter and whether its priority is low; `low_priority`: such waiters may be chosen."""
        for queue, is_low_priority in ((self._first, False), (self._low_priority, True)):
            while queue and (low_priority or not is_low_priority):
                waiter = queue.popleft()
                if not waiter.done():
                    return waiter, is_low_priority
        return None

    def fail(self, kind: type[Unavailable], why: str) -> None:
        for queue in (self._first, self._low_priority):
            while queue:
                waiter = queue.popleft()
                if not waiter.done():
                    waiter.set_exception(kind(why))

"""An expensive read that all callers share: one runs at a time, and its result is reused for a while.

Used by store.census and store.stats. Nothing is read while nobody asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")
SHARE = 5  # a result is reused for at least this many times as long as the read took


class CachedRead(Generic[T]):
    """Calls `read` when its last result is older than `fresh_s` seconds.

    The result of a read that took less than `exact_below_s` only goes to callers who asked before it began.
    """

    def __init__(
        self, read: Callable[[], Coroutine[Any, Any, T]], fresh_s: float, *, exact_below_s: float = 0
    ) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._exact_below_s = exact_below_s
        self._has_begun = False
        self._task: asyncio.Task[T] | None = None
        self._result: tuple[T] | None = None
        self._read_at = self._fresh_until = float("-inf")

    async def get(self) -> T:
        """A fresh result, after a read if need be. Raises what `read` raises, for all who wait for it."""
        if self._exact_below_s and self._task is not None and self._has_begun:
            await asyncio.wait([self._task])
        if self._result and monotonic() < self._fresh_until:
            return self._result[0]
        return await asyncio.shield(self._under_way())

    async def latest(self, *, wait_s: float, stale_s: float) -> T | None:
        """The same if it comes within `wait_s`, else the previous result; None if older than `stale_s`."""
        if monotonic() >= self._fresh_until:
            await asyncio.wait([self._under_way()], timeout=wait_s)
        return self._result[0] if self._result and monotonic() - self._read_at < stale_s else None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _under_way(self) -> asyncio.Task[T]:
        if self._task is None:
            self._has_begun = False
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(_consume_error)
        return self._task

    async def _run(self) -> T:
        began, self._has_begun = monotonic(), True
        try:
            found = await self._read()
            self._result, self._read_at = (found,), monotonic()
            took = self._read_at - began
            self._fresh_until = self._read_at
            if took >= self._exact_below_s:
                self._fresh_until += max(self._fresh_s, SHARE * took)
            return found
        finally:
            self._task = None


def _consume_error(task: asyncio.Task[Any]) -> None:
    """If all callers have gone, nobody retrieves the error, and asyncio would log that."""
    if not task.cancelled():
        task.exception()

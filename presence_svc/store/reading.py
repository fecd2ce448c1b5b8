"""A reading that is dear, and that all who ask share: one at a time, and its answer stands for a while.

Used by store.census and store.stats. Nothing is read while nobody asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")
SHARE = 5  # an answer stands at least this many times as long as the reading took


class Reading(Generic[T]):
    """`read` is called when what it brought last has stood `fresh_s` seconds."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, T]], fresh_s: float) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._task: asyncio.Task[T] | None = None
        self._found: tuple[T] | None = None
        self._read_at = self._stands_until = float("-inf")

    async def get(self) -> T:
        """What stands, else what the reading brings. Raises what that raises, to all who wait for it."""
        if self._found and monotonic() < self._stands_until:
            return self._found[0]
        return await asyncio.shield(self._under_way())

    async def latest(self, *, wait_s: float, stale_s: float) -> T | None:
        """The same within `wait_s`, else what was read before; None when that is older than `stale_s`."""
        if monotonic() >= self._stands_until:
            await asyncio.wait([self._under_way()], timeout=wait_s)
        return self._found[0] if self._found and monotonic() - self._read_at < stale_s else None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _under_way(self) -> asyncio.Task[T]:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(_look_at)
        return self._task

    async def _run(self) -> T:
        began = monotonic()
        try:
            found = await self._read()
            self._found, self._read_at = (found,), monotonic()
            self._stands_until = self._read_at + max(self._fresh_s, SHARE * (self._read_at - began))
            return found
        finally:
            self._task = None


def _look_at(task: asyncio.Task[Any]) -> None:
    """Whoever waited may have gone: an error that nobody takes would be logged as forgotten."""
    if not task.cancelled():
        task.exception()

"""Bounded waiting, for tests: a condition becomes true in time, or the test fails saying which."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable


async def eventually(
    what: str,
    holds: Callable[[], object],
    *,
    within_s: float = 5.0,
    every_s: float = 0.01,
) -> None:
    """Waits until `holds()`, which may be async, is true. Raises AssertionError after `within_s`."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + within_s
    while True:
        answer = holds()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        if loop.time() > ends_at:
            raise AssertionError(f"not within {within_s} s: {what}")
        await asyncio.sleep(every_s)

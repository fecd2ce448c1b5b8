"""Background reads: live.hub starts them, and their results go to whoever listens when they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ..errors import Unavailable

log = logging.getLogger("presence.hub")


class Reads:
    """The reads under way. A failed one is not retried: the next subscription triggers a new read."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_survive(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _survive(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Unavailable:
        log.debug("redis is away, a read waits")
    except Exception:
        log.exception("a read failed")

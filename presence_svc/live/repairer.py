"""Repairs the index that people are counted from, a few entries at a time (S14).

Started by app. In a healthy system it finds nothing to repair; it survives any error in a step.
"""

from __future__ import annotations

import asyncio
import logging
import random

from ..errors import Unavailable
from ..store.people.repair import PeopleRepair

log = logging.getLogger("presence.repairer")
PAUSE_S = 1.0


class Repairer:
    """Runs one step per second and replica; replicas start at different times and share the work."""

    def __init__(self, people: PeopleRepair) -> None:
        self._people = people
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Does nothing with PEOPLE=off."""
        if self._people.is_enabled:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self._stopped = True
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopped:
            await asyncio.sleep(PAUSE_S * random.uniform(0.75, 1.25))
            try:
                if repaired := await self._people.step():
                    log.info("people: repaired %d entries that did not match the courses", repaired)
            except Unavailable:
                log.debug("redis is away, the repair of people waits")
            except Exception:
                log.exception("a step of the repair of people failed")

"""Looks over who is counted as people, a few at a time, and mends what does not fit the courses (S14).

Started by app. In a healthy system it finds nothing; it survives whatever goes wrong in a step.
"""

from __future__ import annotations

import asyncio
import logging
import random

from ..errors import Unavailable
from ..store.people.books import PeopleBooks

log = logging.getLogger("presence.mender")
PAUSE_S = 1.0


class Mender:
    """One step a second and replica; several replicas begin at different places, and share the work."""

    def __init__(self, books: PeopleBooks) -> None:
        self._books = books
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """With PEOPLE=off there is nothing to look over."""
        if self._books.is_kept:
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
                if wrong := await self._books.mend():
                    log.info("people: %d were in no course, or missing, and are not any more", wrong)
            except Unavailable:
                log.debug("redis is away, mending waits")
            except Exception:
                log.exception("people could not be looked over")

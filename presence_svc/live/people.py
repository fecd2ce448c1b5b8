"""Sends streams the number of distinct people whenever it changes (S14). Owned by hub.

One read per INTERVAL_S and replica while anybody listens, none otherwise. It survives outages of Redis.
"""

from __future__ import annotations

import asyncio
import logging

from ..errors import Unavailable
from ..store.people.counter import PeopleCounter
from .frame import Frame, people_frame
from .listener import Listener

log = logging.getLogger("presence.people")
INTERVAL_S = 1.0


class PeopleFeed:
    """A listener gets the number when it is added, if it is known, and at every change until discarded."""

    def __init__(self, counter: PeopleCounter) -> None:
        self._counter = counter
        self._listeners: set[Listener] = set()
        self._last_sent: tuple[int, bool] | None = None
        self._frame: Frame | None = None
        self._task: asyncio.Task[None] | None = None

    def add(self, listener: Listener) -> None:
        self._listeners.add(listener)
        if self._task is None:
            self._last_sent = self._frame = None  # they are left from earlier listeners
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif self._frame is not None:
            listener.offer(self._frame)

    def discard(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    async def stop(self) -> None:
        self._listeners.clear()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._listeners:
            try:
                await self._read()
            except Unavailable:
                log.debug("redis is away, the number of people waits")
            except Exception:
                log.exception("the number of people could not be sent")
            await asyncio.sleep(INTERVAL_S)
        self._task = None

    async def _read(self) -> None:
        found = await self._counter.count()
        if found is None or (found.people, found.exact) == self._last_sent:
            return
        self._last_sent = found.people, found.exact
        self._frame = people_frame(found)
        for listener in tuple(self._listeners):
            listener.offer(self._frame)

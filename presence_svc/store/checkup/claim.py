"""Claims a key prefix for one database when a process starts: sets a mark, then looks for others' marks.

Used by app and client. Without marks, two processes that start at the same moment would not see each other.
With marks, whichever looks later sees the other's: at least one of the two is refused with Misconfigured.
"""

from __future__ import annotations

import asyncio
import random

from ...errors import Misconfigured
from ..keys import Keys
from ..redis.link import Link
from ..redis.reply import LOST
from ..redis.subscription import Subscription
from .preflight import channels_of, check_database

MARKED_S = 2.0  # for Redis to confirm the mark
TRIES = 3
PAUSE_S = (0.05, 0.5)  # random, so that two that refused each other do not collide again


class Claim:
    """The mark is a subscription on its own connection, until live.bus has subscribed to the same channel."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link, self._keys = link, keys
        self._mark: Subscription | None = None

    async def make(self) -> None:
        """Raises Misconfigured. A Redis that is away or forbids the command does not prevent the start."""
        if self._link.is_cluster:  # it has one database
            return
        for left in reversed(range(TRIES)):
            try:
                if await self._set_mark():
                    check_database(await channels_of(self._link, self._keys), self._keys, self._link.db)
                return
            except Misconfigured:
                self.release()
                if not left:
                    raise
                await asyncio.sleep(random.uniform(*PAUSE_S))

    async def _set_mark(self) -> bool:
        """Returns whether Redis has confirmed it."""
        try:
            for address in self._link.pubsub_addresses()[:1]:
                self._mark = mark = await self._link.subscription(address)
                mark.subscribe([f"{self._keys.bus}:{self._link.db}"])
                event = await mark.get(MARKED_S)
                return event is not None and event.kind == "subscribed"
        except LOST:
            self.release()
        return False

    def release(self) -> None:
        """Closes the connection. May be called again."""
        mark, self._mark = self._mark, None
        if mark is not None:
            mark.close()

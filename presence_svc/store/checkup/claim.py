"""Claims a key prefix for one database when a process starts: sets a mark, then looks for those of others.

Used by app and client. A look alone would miss a process that starts at the same moment. Of two that claim
together both look after both marks are set, so that at least one of them is refused with Misconfigured.
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

MARKED_S = 2.0
TRIES = 3
PAUSE_S = (0.05, 0.5)  # random, so that two that refused each other do not collide again


class Claim:
    """A connection of its own holds the mark until `release`, when live.bus has subscribed to it too."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link, self._keys = link, keys
        self._mark: Subscription | None = None

    async def make(self) -> None:
        """Raises Misconfigured. A Redis that is away, or forbids the look, does not prevent the start."""
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

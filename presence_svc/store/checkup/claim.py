"""A start's claim to its database: it sets its mark, then looks for others, who see the mark from then on.

Made by app and by client. A look alone would miss whoever starts at the same moment. Two that claim at once
both look when both have their marks, so that at least one is refused: Misconfigured.
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
PAUSE_S = (0.05, 0.5)  # two that have refused each other do not come back in step


class Claim:
    """`release` once the mark is set otherwise (live.bus): a connection of its own holds it until then."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link, self._keys = link, keys
        self._mark: Subscription | None = None

    async def make(self) -> None:
        """Raises Misconfigured. A Redis that is away, or lets nobody look, prevents no start."""
        if self._link.is_cluster:  # which has one database
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
        """Whether Redis has confirmed it."""
        try:
            for place in self._link.places()[:1]:
                self._mark = mark = await self._link.subscription(place)
                mark.subscribe([f"{self._keys.bus}:{self._link.db}"])
                said = await mark.get(MARKED_S)
                return said is not None and said.kind == "subscribed"
        except LOST:
            self.release()
        return False

    def release(self) -> None:
        """Gives the connection back; more than once is as good as once."""
        mark, self._mark = self._mark, None
        if mark is not None:
            mark.close()

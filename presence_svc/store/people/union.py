"""People on a Cluster: each partition has its own books, and this adds them up, each viewer once (S14).

Called by counter. Reads in short steps and keeps a number for each viewer meanwhile, of LIMIT at most;
beyond that it refuses to count. What it has found stands for STANDS_S: the bound that it says.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import NamedTuple

from ..keys import Keys
from ..redis.link import Link

STEP = 500
BOOKS = 16  # read from in one exchange
LIMIT = 1_000_000  # distinct viewers
STANDS_S = 30.0
BOUND_S = 60.0  # a reading's age, and the time that it took


class Reading(NamedTuple):
    """Distinct viewers, None = too many to be told apart; when it began, by Redis's clock (ms)."""

    people: int | None
    as_of: int


class PeopleUnion:
    """`count` is shared by all callers. Raises Unavailable."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._lock = asyncio.Lock()
        self._found = Reading(None, 0)
        self._stands_until = 0.0

    async def count(self) -> Reading:
        """Over all partitions."""
        async with self._lock:
            if monotonic() >= self._stands_until:
                began = monotonic()
                ((seconds, micros),) = await self._link.pipeline([("TIME",)], low_priority=True)
                people = await self._read()
                self._found = Reading(people, int(seconds) * 1000 + int(micros) // 1000)
                self._stands_until = began + STANDS_S
            return self._found

    async def _read(self) -> int | None:
        seen: set[int] = set()
        left: list[tuple[str, bytes | int]] = [(partition.where, 0) for partition in self._keys.partitions]
        while left:
            scans = [("HSCAN", where, cursor, "COUNT", STEP) for where, cursor in left[:BOOKS]]
            replies = await self._link.pipeline(scans, low_priority=True)
            for _, flat in replies:
                seen.update(map(hash, flat[::2]))
            if len(seen) > LIMIT:
                return None
            read = zip(left[:BOOKS], replies, strict=True)
            left = [(where, at) for (where, _), (at, _) in read if int(at) != 0] + left[BOOKS:]
        return len(seen)

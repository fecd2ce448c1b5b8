"""People on a Cluster: each partition has its own books, and this adds them up, each viewer once (S14).

Called by counter. Reads in short steps and keeps a number for each viewer meanwhile, of LIMIT at most;
beyond that it refuses to count. What it has found stands for STANDS_S: the bound that it says.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from ..keys import Keys
from ..redis.link import Link

STEP = 500
LIMIT = 1_000_000  # distinct viewers
STANDS_S = 30.0
BOUND_S = 60.0  # a reading's age, and the time that it took


class PeopleUnion:
    """`count` is shared by all callers. Raises Unavailable."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._lock = asyncio.Lock()
        self._found: int | None = None
        self._stands_until = 0.0

    async def count(self) -> int | None:
        """Distinct viewers over all partitions; None when they are too many to be told apart here."""
        async with self._lock:
            if monotonic() >= self._stands_until:
                self._found = await self._read()
                self._stands_until = monotonic() + STANDS_S
            return self._found

    async def _read(self) -> int | None:
        seen: set[int] = set()
        for partition in self._keys.partitions:
            cursor: bytes | int = 0
            while True:
                scan = ("HSCAN", partition.where, cursor, "COUNT", STEP)
                ((cursor, flat),) = await self._link.pipeline([scan])
                seen.update(map(hash, flat[::2]))
                if len(seen) > LIMIT:
                    return None
                if int(cursor) == 0:
                    break
        return len(seen)

"""People on a Cluster: the union of all partitions' indexes, each viewer counted once (S14).

Called by counter. Reads in short steps and holds one hash per viewer in the meantime, for at most LIMIT
viewers; beyond that it does not count. A result is reused for REUSED_S, which is part of its bound.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import NamedTuple

from ..keys import Keys
from ..redis.link import Link

STEP = 500
INDEXES = 16  # partitions read in one exchange
LIMIT = 1_000_000  # distinct viewers
REUSED_S = 30.0
BOUND_S = 60.0  # the age of a count, and the time that it took


class UnionCount(NamedTuple):
    """Distinct viewers, None = too many to count; `as_of`: when the count began, by Redis's clock (ms)."""

    people: int | None
    as_of: int


class PeopleUnion:
    """All callers share one count. Raises Unavailable."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._lock = asyncio.Lock()
        self._found = UnionCount(None, 0)
        self._reused_until = 0.0

    async def count(self) -> UnionCount:
        """Distinct viewers over all partitions."""
        async with self._lock:
            if monotonic() >= self._reused_until:
                began = monotonic()
                ((seconds, micros),) = await self._link.pipeline([("TIME",)], low_priority=True)
                people = await self._read()
                self._found = UnionCount(people, int(seconds) * 1000 + int(micros) // 1000)
                self._reused_until = began + REUSED_S
            return self._found

    async def _read(self) -> int | None:
        seen: set[int] = set()
        left: list[tuple[str, bytes | int]] = [(partition.where, 0) for partition in self._keys.partitions]
        while left:
            scans = [("HSCAN", where, cursor, "COUNT", STEP) for where, cursor in left[:INDEXES]]
            replies = await self._link.pipeline(scans, low_priority=True)
            for _, flat in replies:
                seen.update(map(hash, flat[::2]))
            if len(seen) > LIMIT:
                return None
            read = zip(left[:INDEXES], replies, strict=True)
            left = [(where, at) for (where, _), (at, _) in read if int(at) != 0] + left[INDEXES:]
        return len(seen)

"""Live totals over all courses, read from the courses on all agendas. Called by web.api.courses for operators."""

from __future__ import annotations

import asyncio
from time import monotonic

from ..model import CourseTotal, Stats
from .keys import Keys
from .presence import Presence
from .redis.link import Link

FRESH_S = 1.0
TOP = 20
CHUNK = 500


class Totals:
    """Reading costs one count per active course: within a second all callers share one reading."""

    def __init__(self, link: Link, presence: Presence, keys: Keys) -> None:
        self._link = link
        self._presence = presence
        self._keys = keys
        self._lock = asyncio.Lock()
        self._stats: Stats | None = None
        self._read_at = 0.0

    async def stats(self) -> Stats:
        """The sum over courses, how many have somebody in them, and the busiest. Raises Unavailable."""
        async with self._lock:
            if self._stats is None or monotonic() - self._read_at > FRESH_S:
                self._stats = await self._read()
                self._read_at = monotonic()
            return self._stats

    async def _read(self) -> Stats:
        *listed, time = await self._link.pipeline(
            [*(("ZRANGE", partition.agenda, 0, -1) for partition in self._keys.partitions), ("TIME",)]
        )
        courses = [course.decode() for part in listed for course in part]
        found: list[tuple[int, str]] = []
        for start in range(0, len(courses), CHUNK):
            counts = await self._presence.counts(courses[start : start + CHUNK])
            found += [(count.total, count.course_id) for count in counts if count.total]
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        return Stats(
            total=sum(total for total, _ in found),
            courses=len(found),
            top=[CourseTotal(course_id=course, total=total) for total, course in found[:TOP]],
            as_of=int(time[0]) * 1000 + int(time[1]) // 1000,
        )

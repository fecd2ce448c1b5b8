"""Live totals over all courses, read from the agenda's courses. Called by web.api.courses for operators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from ..model import CourseTotal, Stats
from .keys import Keys
from .redis.link import Link

FRESH_S = 1.0
SHARE = 5  # a reading stands at least this many times as long as it took
TOP = 20
CHUNK = 200


class Totals:
    """Reading costs one ZCOUNT per active course, in short steps: within a second all share one reading."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._lock = asyncio.Lock()
        self._stats: Stats | None = None
        self._stands_until = 0.0

    async def stats(self) -> Stats:
        """The sum over courses, how many have somebody in them, and the busiest. Raises Unavailable."""
        async with self._lock:
            if self._stats is None or monotonic() > self._stands_until:
                began = monotonic()
                self._stats = await self._read()
                ended = monotonic()
                self._stands_until = ended + max(FRESH_S, SHARE * (ended - began))
            return self._stats

    async def _read(self) -> Stats:
        """Each slice is exact at its own moment; `as_of` is the last one's (S4)."""
        found: dict[str, int] = {}
        as_of = await self._now_ms()
        async for courses in self._slices():
            commands = [
                ("ZCOUNT", self._keys.course(course).viewers, f"({as_of}", "+inf") for course in courses
            ]
            *counts, time = await self._link.pipeline([*commands, ("TIME",)], patient=True)
            found.update((course, n) for course, n in zip(courses, counts, strict=True) if n)
            as_of = _ms(time)
        ranked = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
        return Stats(
            total=sum(found.values()),
            courses=len(found),
            top=[CourseTotal(course_id=course, total=total) for course, total in ranked[:TOP]],
            as_of=as_of,
        )

    async def _slices(self) -> AsyncIterator[list[str]]:
        """The agenda's courses, each at least once if it stays; however many there are, a step is short."""
        cursor = b"0"
        while True:
            scan = ("ZSCAN", self._keys.agenda, cursor, "COUNT", CHUNK)
            ((cursor, flat),) = await self._link.pipeline([scan], patient=True)
            courses = [course.decode() for course in flat[::2]]
            for start in range(0, len(courses), CHUNK):
                yield courses[start : start + CHUNK]
            if cursor == b"0":
                return

    async def _now_ms(self) -> int:
        (time,) = await self._link.pipeline([("TIME",)], patient=True)
        return _ms(time)


def _ms(time: list[bytes]) -> int:
    return int(time[0]) * 1000 + int(time[1]) // 1000

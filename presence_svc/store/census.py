"""Counts the viewers of all courses in one walk of short steps, for `/v1/stats` and `/metrics`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from .cached_read import CachedRead
from .keys import Keys
from .redis.link import Link

FRESH_S = 1.0
EXACT_BELOW_S = 0.03  # a walk as quick as this (a thousand courses or so) is not reused by later callers
SCRAPE_WAIT_S = 0.5
STALE_S = 60.0
CHUNK = 200
SETS = 32  # scanned per exchange


class Headcount(NamedTuple):
    """Sums over all courses: a viewer of two courses counts twice. `as_of` in ms by Redis's clock."""

    viewers: int
    anonymous: int
    courses: int
    totals: dict[str, int]  # by course, for every course on an agenda; 0 = nobody is left
    as_of: int
    warming: bool  # Redis has not had heartbeats for a whole TTL: the counts may be too low (S11)


class Census:
    """Costs two ZCOUNTs per course. Callers share one walk, and a slow one is reused for a second or more."""

    def __init__(self, link: Link, keys: Keys, ttl_ms: int) -> None:
        self._link, self._keys, self._ttl_ms = link, keys, ttl_ms
        self._reading = CachedRead(self._walk, FRESH_S, exact_below_s=EXACT_BELOW_S)

    async def taken(self) -> Headcount:
        """The current count, or an older one if walks are slow (store.cached_read). Raises Unavailable."""
        return await self._reading.get()

    async def latest(self) -> Headcount | None:
        """The latest count, after at most half a second; None if it is more than a minute old."""
        return await self._reading.latest(wait_s=SCRAPE_WAIT_S, stale_s=STALE_S)

    async def close(self) -> None:
        await self._reading.close()

    async def _walk(self) -> Headcount:
        """Each step is exact at its own moment; `as_of` is the time of the last one (S4)."""
        totals: dict[str, int] = {}
        anonymous: dict[str, int] = {}
        (time,) = await self._link.pipeline([("TIME",)], low_priority=True)
        as_of = _ms(time)
        async for courses in listed_courses(self._link, [one.agenda for one in self._keys.partitions]):
            keys = [self._keys.course(course) for course in courses]
            sets = [name for one in keys for name in (one.viewers, one.anonymous)]
            commands = [("ZCOUNT", name, f"({as_of}", "+inf") for name in sets]
            *counts, time = await self._link.pipeline([*commands, ("TIME",)], low_priority=True)
            totals.update(zip(courses, counts[::2], strict=True))
            anonymous.update(zip(courses, counts[1::2], strict=True))
            as_of = _ms(time)
        occupied = sum(n > 0 for n in totals.values())
        heads = sum(totals.values()), sum(anonymous.values())
        return Headcount(*heads, occupied, totals, as_of, await self._is_warming())

    async def _is_warming(self) -> bool:
        """Called last: if data was lost during the walk, the mark is missing or newer by now."""
        marks = [("GET", partition.since) for partition in self._keys.partitions]
        *since, time = await self._link.pipeline([*marks, ("TIME",)], low_priority=True)
        return any(mark is None or _ms(time) - int(mark) < self._ttl_ms for mark in since)


def _ms(time: list[bytes]) -> int:
    return int(time[0]) * 1000 + int(time[1]) // 1000


async def listed_courses(link: Link, sets: Sequence[str]) -> AsyncIterator[list[str]]:
    """Scans sorted sets of courses in short steps. A course that stays is yielded at least once."""
    left: list[tuple[str, bytes]] = [(name, b"0") for name in sets]
    while left:
        scans = [("ZSCAN", name, cursor, "COUNT", CHUNK) for name, cursor in left[:SETS]]
        replies = await link.pipeline(scans, low_priority=True)
        courses = [course.decode() for _, flat in replies for course in flat[::2]]
        for start in range(0, len(courses), CHUNK):
            yield courses[start : start + CHUNK]
        done = zip(left[:SETS], replies, strict=True)
        left = [(name, cursor) for (name, _), (cursor, _) in done if cursor != b"0"] + left[SETS:]

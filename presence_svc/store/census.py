"""Who is in which course, over all courses: one walk in short steps, for `/v1/stats` and `/metrics` alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from .keys import Keys
from .reading import Reading
from .redis.link import Link

FRESH_S = 1.0
SCRAPE_WAIT_S = 0.5
STALE_S = 60.0
CHUNK = 200
SETS = 32  # scanned in one exchange


class Headcount(NamedTuple):
    """Over all courses, so that a viewer of two courses counts twice. `as_of` in ms by Redis's clock."""

    viewers: int
    anonymous: int
    courses: int
    totals: dict[str, int]  # of every course on an agenda; 0 = nobody is left
    as_of: int
    warming: bool  # heartbeats had not been heard for a TTL when it was counted: it may be too low (S11)


class Census:
    """Costs two ZCOUNTs per course. Within a second all of a replica's callers share one walk."""

    def __init__(self, link: Link, keys: Keys, ttl_ms: int) -> None:
        self._link, self._keys, self._ttl_ms = link, keys, ttl_ms
        self._reading = Reading(self._walk, FRESH_S)

    async def taken(self) -> Headcount:
        """Raises Unavailable."""
        return await self._reading.get()

    async def latest(self) -> Headcount | None:
        """What was counted last, within half a second; None when that is too long ago to be told."""
        return await self._reading.latest(wait_s=SCRAPE_WAIT_S, stale_s=STALE_S)

    async def close(self) -> None:
        await self._reading.close()

    async def _walk(self) -> Headcount:
        """Each slice is exact at its own moment; `as_of` is the last one's (S4)."""
        totals: dict[str, int] = {}
        anonymous: dict[str, int] = {}
        (time,) = await self._link.pipeline([("TIME",)], patient=True)
        as_of = _ms(time)
        async for courses in listed_courses(self._link, [one.agenda for one in self._keys.partitions]):
            keys = [self._keys.course(course) for course in courses]
            sets = [name for one in keys for name in (one.viewers, one.anonymous)]
            commands = [("ZCOUNT", name, f"({as_of}", "+inf") for name in sets]
            *counts, time = await self._link.pipeline([*commands, ("TIME",)], patient=True)
            totals.update(zip(courses, counts[::2], strict=True))
            anonymous.update(zip(courses, counts[1::2], strict=True))
            as_of = _ms(time)
        occupied = sum(n > 0 for n in totals.values())
        heads = sum(totals.values()), sum(anonymous.values())
        return Headcount(*heads, occupied, totals, as_of, await self._is_warming())

    async def _is_warming(self) -> bool:
        """Asked last: whatever was lost while we counted has taken the mark with it, or set it anew."""
        marks = [("GET", partition.since) for partition in self._keys.partitions]
        *since, time = await self._link.pipeline([*marks, ("TIME",)], patient=True)
        return any(mark is None or _ms(time) - int(mark) < self._ttl_ms for mark in since)


def _ms(time: list[bytes]) -> int:
    return int(time[0]) * 1000 + int(time[1]) // 1000


async def listed_courses(link: Link, sets: Sequence[str]) -> AsyncIterator[list[str]]:
    """The courses in these sorted sets, each at least once if it stays, in short steps."""
    left: list[tuple[str, bytes]] = [(name, b"0") for name in sets]
    while left:
        scans = [("ZSCAN", name, cursor, "COUNT", CHUNK) for name, cursor in left[:SETS]]
        replies = await link.pipeline(scans, patient=True)
        courses = [course.decode() for _, flat in replies for course in flat[::2]]
        for start in range(0, len(courses), CHUNK):
            yield courses[start : start + CHUNK]
        done = zip(left[:SETS], replies, strict=True)
        left = [(name, cursor) for (name, _), (cursor, _) in done if cursor != b"0"] + left[SETS:]

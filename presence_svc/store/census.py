"""The product's own numbers over all courses, for `/metrics`: read at times, in slices. Used by web.api."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import NamedTuple

from ..errors import Unavailable
from .keys import Keys
from .redis.link import Link
from .stats import listed_courses

SCRAPED_S = 10.0  # how long a census stands, at least
SCRAPE_WAIT_S = 0.5
STALE_S = 60.0
SHARE = 10  # it stands at least this many times as long as it took
SLICE = 100  # courses in one exchange


class Headcount(NamedTuple):
    """Over all courses, so that a viewer of two courses counts twice."""

    viewers: int
    anonymous: int
    courses: int


class Census:
    """The product's own numbers for `/metrics`: read in slices when somebody scrapes, not at every scrape."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link, self._keys = link, keys
        self._task: asyncio.Task[None] | None = None
        self._found: Headcount | None = None
        self._read_at = self._stands_until = 0.0

    async def latest(self) -> Headcount | None:
        """What was counted last, within half a second; None when that is too long ago to be told."""
        if self._task is None and monotonic() >= self._stands_until:
            self._task = asyncio.get_running_loop().create_task(self._refresh())
        if self._task is not None:
            await asyncio.wait([self._task], timeout=SCRAPE_WAIT_S)
        return self._found if monotonic() - self._read_at < STALE_S else None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _refresh(self) -> None:
        began = monotonic()
        try:
            self._found, self._read_at = await self._read(), monotonic()
        except Unavailable:
            pass  # the last numbers stand until they are stale
        finally:
            took_s = monotonic() - began
            self._stands_until = monotonic() + max(SCRAPED_S, SHARE * took_s)
            self._task = None

    async def _read(self) -> Headcount:
        """Each slice is exact at its own moment."""
        found: dict[str, tuple[int, int]] = {}
        async for listed in listed_courses(self._link, [one.agenda for one in self._keys.partitions]):
            ((seconds, micros),) = await self._link.pipeline([("TIME",)], patient=True)
            now_ms = int(seconds) * 1000 + int(micros) // 1000
            for start in range(0, len(listed), SLICE):
                found |= await self._slice(listed[start : start + SLICE], now_ms)
        viewers, anonymous = [n for n, _ in found.values()], [n for _, n in found.values()]
        return Headcount(sum(viewers), sum(anonymous), sum(n > 0 for n in viewers))

    async def _slice(self, courses: list[str], now_ms: int) -> dict[str, tuple[int, int]]:
        """Viewers, and the anonymous among them, of each: the length of a range costs no walk along it."""
        keys = [self._keys.course(course) for course in courses]
        sets = [name for one in keys for name in (one.viewers, one.anonymous)]
        counts = await self._link.pipeline([("ZCOUNT", name, f"({now_ms}", "+inf") for name in sets])
        return dict(zip(courses, zip(counts[::2], counts[1::2], strict=True), strict=True))

"""Live totals over all courses that are on an agenda. Called by web.api.courses for operators."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from time import monotonic

from ..errors import Invalid
from ..model import CourseTotal, Stats
from .keys import Keys
from .people.counter import PeopleCounter
from .redis.link import Link

FRESH_S = 1.0
SHARE = 5  # a reading stands at least this many times as long as it took
TOP = 20
CHUNK = 200
SETS = 32  # scanned in one exchange


class Totals:
    """Reading costs one ZCOUNT per active course, in short steps: within a second all share one reading."""

    def __init__(self, link: Link, keys: Keys, people: PeopleCounter) -> None:
        self._link = link
        self._keys = keys
        self._people = people
        self._ranked: list[tuple[int, str]] = []  # as they are paged: (-total, course)
        self._lock = asyncio.Lock()
        self._stats: Stats | None = None
        self._stands_until = 0.0

    async def stats(self) -> Stats:
        """The sum over courses, how many have somebody in them, the busiest, people. Raises Unavailable."""
        async with self._lock:
            if self._stats is None or monotonic() > self._stands_until:
                began = monotonic()
                self._stats = await self._read()
                ended = monotonic()
                self._stands_until = ended + max(FRESH_S, SHARE * (ended - began))
            return self._stats

    async def search(self, text: str, limit: int, cursor: str | None) -> Stats:
        """The same, with a page of the courses whose id has `text` in it, whatever its case.

        Raises Invalid for a cursor that no page has given out. Courses that change their place between two
        pages may be in both, or in none.
        """
        stats = await self.stats()
        wanted = text.lower()
        after = _decoded(cursor) if cursor else None
        busy = {course for _, course in self._ranked}
        ranked = self._ranked + sorted((0, course) for course in await self._seen() - busy)
        found = [one for one in ranked if wanted in one[1].lower() and (after is None or one > after)]
        page = found[:limit]
        more = _encoded(page[-1]) if len(found) > limit else None
        shown = [CourseTotal(course_id=course, total=-rank) for rank, course in page]
        return stats.model_copy(update={"page": shown, "next_cursor": more})

    async def _seen(self) -> set[str]:
        """Courses that have a history, also those that nobody watches now."""
        return {
            course
            async for courses in listed_courses(self._link, [one.seen for one in self._keys.partitions])
            for course in courses
        }

    async def _read(self) -> Stats:
        """Each slice is exact at its own moment; `as_of` is the last one's (S4)."""
        found: dict[str, int] = {}
        as_of = await self._now_ms()
        async for courses in listed_courses(self._link, [one.agenda for one in self._keys.partitions]):
            commands = [
                ("ZCOUNT", self._keys.course(course).viewers, f"({as_of}", "+inf") for course in courses
            ]
            *counts, time = await self._link.pipeline([*commands, ("TIME",)], patient=True)
            found.update((course, n) for course, n in zip(courses, counts, strict=True) if n)
            as_of = _ms(time)
        self._ranked = sorted((-total, course) for course, total in found.items())
        people = await self._people.count()
        return Stats(
            total=sum(found.values()),
            courses=len(found),
            top=[CourseTotal(course_id=course, total=-rank) for rank, course in self._ranked[:TOP]],
            as_of=as_of,
            people=people.people if people else None,
            exact=people.exact if people else True,
            bound_s=people.bound_s if people else None,
        )

    async def _now_ms(self) -> int:
        (time,) = await self._link.pipeline([("TIME",)], patient=True)
        return _ms(time)


def _ms(time: list[bytes]) -> int:
    return int(time[0]) * 1000 + int(time[1]) // 1000


def _encoded(place: tuple[int, str]) -> str:
    return base64.urlsafe_b64encode(f"{-place[0]} {place[1]}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> tuple[int, str]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        total, course = raw.split(" ")
        return -int(total), course
    except ValueError:
        raise Invalid([("/cursor", "is not a cursor of this route")]) from None


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

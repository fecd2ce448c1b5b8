"""Live totals over all courses, read from the agenda's courses. Called by web.api.courses for operators."""

from __future__ import annotations

import asyncio
import base64
from time import monotonic

from ..errors import Invalid
from ..model import CourseTotal, Stats
from .keys import Keys
from .people import PeopleCounter
from .presence import Presence
from .redis.link import Link

FRESH_S = 1.0
TOP = 20
CHUNK = 500
COURSES_LIMIT = 200_000  # that one reading looks at


class Totals:
    """Reading costs one count per active course: within a second all callers share one reading."""

    def __init__(self, link: Link, presence: Presence, keys: Keys, people: PeopleCounter) -> None:
        self._link = link
        self._presence = presence
        self._keys = keys
        self._people = people
        self._lock = asyncio.Lock()
        self._stats: Stats | None = None
        self._courses: list[tuple[int, str]] = []
        self._read_at = 0.0

    async def stats(self) -> Stats:
        """The sum over courses, how many have somebody in them, the busiest, people. Raises Unavailable."""
        async with self._lock:
            if self._stats is None or monotonic() - self._read_at > FRESH_S:
                self._stats = await self._read()
                self._read_at = monotonic()
            return self._stats

    async def search(self, text: str, limit: int, cursor: str | None) -> Stats:
        """The same, with a page of the courses whose id has `text` in it, whatever its case.

        Raises Invalid for a cursor that no page has given out. Courses that change their place between two
        pages may be in both, or in none.
        """
        stats = await self.stats()
        wanted = text.lower()
        after = _decoded(cursor) if cursor else None
        ranked = [(-total, course) for total, course in self._courses]
        ranked += sorted((0, course) for course in await self._seen() - {course for _, course in ranked})
        found = [one for one in ranked if wanted in one[1].lower() and (after is None or one > after)]
        page = found[:limit]
        more = _encoded(page[-1]) if len(found) > limit else None
        shown = [CourseTotal(course_id=course, total=-rank) for rank, course in page]
        return stats.model_copy(update={"page": shown, "next_cursor": more})

    async def _seen(self) -> set[str]:
        """Courses that have a history, also those that nobody watches now."""
        return set(await self._members(self._keys.seen))

    async def _members(self, key: str) -> list[str]:
        """In steps; whatever was a member all the while is found, wherever its score has moved to."""
        found: dict[bytes, None] = {}
        cursor: bytes | int = 0
        while len(found) < COURSES_LIMIT:
            ((cursor, flat),) = await self._link.pipeline([("ZSCAN", key, cursor, "COUNT", CHUNK)])
            found |= dict.fromkeys(flat[::2])
            if int(cursor) == 0:
                break
        return [course.decode() for course in found]

    async def _read(self) -> Stats:
        (time,) = await self._link.pipeline([("TIME",)])
        courses = await self._members(self._keys.agenda)
        found: list[tuple[int, str]] = []
        for start in range(0, len(courses), CHUNK):
            counts = await self._presence.counts(courses[start : start + CHUNK])
            found += [(count.total, count.course_id) for count in counts if count.total]
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        self._courses = found
        people = await self._people.count()
        return Stats(
            total=sum(total for total, _ in found),
            courses=len(found),
            top=[CourseTotal(course_id=course, total=total) for total, course in found[:TOP]],
            as_of=int(time[0]) * 1000 + int(time[1]) // 1000,
            people=people.people if people else None,
            exact=people.exact if people else True,
            bound_s=people.bound_s if people else None,
        )


def _encoded(place: tuple[int, str]) -> str:
    return base64.urlsafe_b64encode(f"{-place[0]} {place[1]}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> tuple[int, str]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        total, course = raw.split(" ")
        return -int(total), course
    except ValueError:
        raise Invalid([("/cursor", "is not a cursor of this route")]) from None

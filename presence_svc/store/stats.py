"""Live totals over all courses, people, and pages of courses that match a search. Called by web.api.courses.

However many clients poll, one scan of Redis runs at a time. Live counts are exact (S4, S14) as long as a scan
is quick, else about a second old; courses with a history are listed twice a minute.
"""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from ..errors import Invalid
from ..model import CourseTotal, Stats
from ..settings import Settings
from .cached_read import CachedRead
from .census import EXACT_BELOW_S, FRESH_S, Census, listed_courses
from .keys import Keys
from .people.counter import PeopleCounter
from .redis.link import Link

PAST_S = 30.0
LISTED = 50_000  # idle courses in the list, at most
TOP = 20

Rank = tuple[int, str]  # (-total, course): the order in which courses are listed


class _Now(NamedTuple):
    stats: Stats
    ranked: list[Rank]  # the courses with somebody in them
    totals: dict[str, int]


class Totals:
    """One per replica, built by replica. All calls raise Unavailable."""

    def __init__(
        self, link: Link, settings: Settings, keys: Keys, census: Census, people: PeopleCounter
    ) -> None:
        self._link = link
        self._has_past = settings.history
        self._keys = keys
        self._census = census
        self._people = people
        self._past = _Listing()
        self._now = CachedRead(self._read, FRESH_S, exact_below_s=2 * EXACT_BELOW_S)
        self._walk = CachedRead(self._walk_past, PAST_S)

    async def stats(self) -> Stats:
        """The total over all courses, how many are occupied, the busiest ones, and people."""
        return (await self._now.get()).stats

    async def search(self, text: str, limit: int, cursor: str | None) -> Stats:
        """The same, with a page of the courses whose id contains `text`, ignoring case.

        Raises Invalid for a malformed cursor. A course whose rank changes between two pages may be in both of
        them or in neither.
        """
        after = _decoded(cursor) if cursor else None
        await self._walk.get()
        now, wanted = await self._now.get(), text.lower()
        found = (one for one in self._in_order(now, after) if wanted in one[1].lower())
        page = list(islice(found, limit + 1))
        more = _encoded(page[limit - 1]) if len(page) > limit else None
        shown = [CourseTotal(course_id=course, total=-rank) for rank, course in page[:limit]]
        return now.stats.model_copy(update={"page": shown, "next_cursor": more})

    async def close(self) -> None:
        """Cancels the reads under way, including the census."""
        for reading in (self._now, self._walk, self._census):
            await reading.close()

    def _in_order(self, now: _Now, after: Rank | None) -> Iterator[Rank]:
        """The occupied courses by total, then the idle ones by name, beginning after `after`."""
        busy = now.ranked[bisect_right(now.ranked, after) if after else 0 :]
        idle = self._past.names[bisect_right(self._past.names, after[1]) if after and not after[0] else 0 :]
        return chain(busy, ((0, course) for course in idle if not now.totals.get(course)))

    async def _read(self) -> _Now:
        count = await self._census.taken()
        people = await self._people.count()
        ranked = sorted((-n, course) for course, n in count.totals.items() if n)
        if self._has_past:  # so that a course is still listed when its last viewer leaves
            self._past.add(count.totals)
        stats = Stats(
            total=count.viewers,
            courses=count.courses,
            top=[CourseTotal(course_id=course, total=-rank) for rank, course in ranked[:TOP]],
            as_of=count.as_of,
            warming=count.warming,
            people=people.people if people else None,
            exact=people.exact if people else True,
            bound_s=people.bound_s if people else None,
        )
        return _Now(stats, ranked, count.totals)

    async def _walk_past(self) -> None:
        """Lists the courses that have a history, including idle ones."""
        sets = [one.seen for one in self._keys.partitions] if self._has_past else []
        self._past.keep({course async for courses in listed_courses(self._link, sets) for course in courses})


class _Listing:
    """Courses in the order of their ids, at most LISTED."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._known: set[str] = set()

    def keep(self, found: set[str]) -> None:
        """Keeps these and drops all others."""
        self._known &= found
        self.names = [name for name in self.names if name in found]
        self.add(found)

    def add(self, found: Iterable[str]) -> None:
        news = sorted(set(found) - self._known)[: LISTED - len(self.names)]
        self._known.update(news)
        self.names += news
        self.names.sort()  # two lists in order: Python's sort merges them


def _encoded(rank: Rank) -> str:
    return base64.urlsafe_b64encode(f"{-rank[0]} {rank[1]}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> Rank:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        total, course = raw.split(" ")
        return -int(total), course
    except ValueError:
        raise Invalid([("/cursor", "is not a cursor of this route")]) from None

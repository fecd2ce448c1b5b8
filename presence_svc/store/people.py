"""How many distinct people are in any course now (S14). Called by store.stats and live.hub.

Refuses nothing: with PEOPLE=off the answer is that nobody knows. All calls raise Unavailable.
"""

from __future__ import annotations

from typing import NamedTuple

from ..settings import Settings
from . import scripts
from .agenda import CLAIM_MS
from .keys import Keys
from .redis.link import Link

COURSES = 2_000  # looked at in one call, at most
LAPSED = 5_000
AHEAD_MS = 250
TRIES = 3
STEP = 100
PAIRS = 400
BOUND_S = 1.5  # within that a lapsed lease is swept (S9)


class People(NamedTuple):
    """Distinct viewers over all courses at `as_of`; when not `exact`, right within `bound_s` seconds."""

    people: int
    exact: bool
    bound_s: float | None
    as_of: int


class PeopleCounter:
    """Counts by asking the scripts' books, and the sets for those who have lapsed and are not swept yet."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self._link = link
        self._settings = settings
        self._keys = keys

    async def count(self) -> People | None:
        """Exact at the moment Redis answers, unless very many leases have just ended. None = not counted."""
        if not self._settings.people or self._keys.is_partitioned:
            return None  # on a Cluster a viewer's courses are in several partitions: nobody adds them up yet
        courses: list[str] = []
        for _ in range(TRIES):
            now, people, is_exact = await self._ask(courses)
            if is_exact:
                break
            soon = now + CLAIM_MS + AHEAD_MS
            (found,) = await self._link.pipeline(
                [("ZRANGEBYSCORE", self._keys.partitions[0].agenda, "-inf", soon, "LIMIT", 0, COURSES)]
            )
            courses = [course.decode() for course in found]
        return People(people=people, exact=bool(is_exact), bound_s=None if is_exact else BOUND_S, as_of=now)

    async def _ask(self, courses: list[str]) -> tuple[int, int, int]:
        """A script may touch no key that it was not given: which courses to look at is found out before."""
        keys = self._keys
        names = (
            keys.partitions[0].agenda,
            keys.partitions[0].where,
            *(keys.course(course).viewers for course in courses),
        )
        reply: tuple[int, int, int] = await self._link.call(
            scripts.PEOPLE, names, (CLAIM_MS, LAPSED, *courses)
        )
        return reply


class PeopleBooks:
    """`mend` looks at some of those who are counted, and at some who should be; in turn it comes to all."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self._link = link
        self.is_kept = settings.people
        self._keys = keys
        self._at = 0  # a partition has its own books, of its own courses
        self._counted: bytes | int = 0
        self._agenda: bytes | int = 0
        self._courses: list[str] = []
        self._viewers: bytes | int = 0

    async def mend(self) -> int:
        """One bounded step; how many were wrong. Raises Unavailable."""
        pairs = (await self._some_counted() + await self._some_present())[:PAIRS]
        partition = self._keys.partitions[self._at]
        if int(self._counted) == 0 and int(self._agenda) == 0 and not self._courses:
            self._at = (self._at + 1) % len(self._keys.partitions)
        if not pairs:
            return 0
        names = (partition.where, *(self._keys.course(course).viewers for _, course in pairs))
        args = [word for pair in pairs for word in pair]
        return int(await self._link.call(scripts.MEND, names, args))

    async def _some_counted(self) -> list[tuple[str, str]]:
        scan = ("HSCAN", self._keys.partitions[self._at].where, self._counted, "COUNT", STEP)
        ((self._counted, flat),) = await self._link.pipeline([scan])
        return [
            (viewer.decode(), course)
            for viewer, courses in zip(flat[::2], flat[1::2], strict=True)
            for course in courses.decode().split()
        ]

    async def _some_present(self) -> list[tuple[str, str]]:
        """Some viewers of one course; then the next course has its turn."""
        if not self._courses:
            scan = ("ZSCAN", self._keys.partitions[self._at].agenda, self._agenda, "COUNT", STEP)
            ((self._agenda, flat),) = await self._link.pipeline([scan])
            self._courses = [course.decode() for course in flat[::2]]
        if not self._courses:
            return []
        course = self._courses[-1]
        scan = ("ZSCAN", self._keys.course(course).viewers, self._viewers, "COUNT", STEP)
        ((self._viewers, flat),) = await self._link.pipeline([scan])
        if int(self._viewers) == 0:
            self._courses.pop()
        return [(viewer.decode(), course) for viewer in flat[::2]]

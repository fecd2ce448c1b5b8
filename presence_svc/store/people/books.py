"""Looks over who is counted as people, some at a time, and mends what does not fit (S14)."""

from __future__ import annotations

from ...settings import Settings
from .. import scripts
from ..keys import Keys
from ..redis.link import Link

STEP = 100
PAIRS = 400


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

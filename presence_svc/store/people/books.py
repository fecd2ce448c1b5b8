"""Looks over who is counted as people, some at a time, and mends what does not fit (S14)."""

from __future__ import annotations

from itertools import cycle

from ...settings import Settings
from .. import scripts
from ..keys import Keys, Partition
from ..redis.link import Link

STEP = 100
PAIRS = 400


class PeopleBooks:
    """`mend` looks at some of those who are counted, and at some who should be; in turn it comes to all."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self.is_kept = settings.people
        self._turns = cycle([_PartitionBook(link, keys, partition) for partition in keys.partitions])

    async def mend(self) -> int:
        """One bounded step, in one partition; how many were wrong. Raises Unavailable."""
        return await next(self._turns).mend()


class _PartitionBook:
    """Who is counted in a partition, and how far the walk through it has come."""

    def __init__(self, link: Link, keys: Keys, partition: Partition) -> None:
        self._link, self._keys, self._partition = link, keys, partition
        self._counted: bytes | int = 0
        self._agenda: bytes | int = 0
        self._courses: list[str] = []
        self._viewers: bytes | int = 0

    async def mend(self) -> int:
        pairs = (await self._some_counted() + await self._some_present())[:PAIRS]
        if not pairs:
            return 0
        names = (self._partition.where, *(self._keys.course(course).viewers for _, course in pairs))
        args = [word for pair in pairs for word in pair]
        return int(await self._link.call(scripts.MEND, names, args, low_priority=True))

    async def _some_counted(self) -> list[tuple[str, str]]:
        scan = ("HSCAN", self._partition.where, self._counted, "COUNT", STEP)
        ((self._counted, flat),) = await self._link.pipeline([scan], low_priority=True)
        return [
            (viewer.decode(), course)
            for viewer, courses in zip(flat[::2], flat[1::2], strict=True)
            for course in courses.decode().split()
        ]

    async def _some_present(self) -> list[tuple[str, str]]:
        """Some viewers of one course; then the next course has its turn."""
        if not self._courses:
            scan = ("ZSCAN", self._partition.agenda, self._agenda, "COUNT", STEP)
            ((self._agenda, flat),) = await self._link.pipeline([scan], low_priority=True)
            self._courses = [course.decode() for course in flat[::2]]
        if not self._courses:
            return []
        course = self._courses[-1]
        scan = ("ZSCAN", self._keys.course(course).viewers, self._viewers, "COUNT", STEP)
        ((self._viewers, flat),) = await self._link.pipeline([scan], low_priority=True)
        if int(self._viewers) == 0:
            self._courses.pop()
        return [(viewer.decode(), course) for viewer in flat[::2]]

"""Compares the index that people are counted from (`where`) with the courses, and repairs it (S14)."""

from __future__ import annotations

from itertools import cycle

from ...settings import Settings
from .. import scripts
from ..keys import Keys, Partition
from ..redis.link import Link

STEP = 100
PAIRS = 50  # of a viewer and a course, per call: less than half a ms of Redis's time


class PeopleRepair:
    """Each `step` checks some viewers who are counted and some who should be; in the end it checks all."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self.is_enabled = settings.people
        self._partitions = cycle([_PartitionRepair(link, keys, partition) for partition in keys.partitions])

    async def step(self) -> int:
        """One bounded step in one partition; returns how many entries it repaired. Raises Unavailable."""
        return await next(self._partitions).step()


class _PartitionRepair:
    """The repair of one partition, with the cursors of its scans."""

    def __init__(self, link: Link, keys: Keys, partition: Partition) -> None:
        self._link, self._keys, self._partition = link, keys, partition
        self._counted: bytes | int = 0
        self._agenda: bytes | int = 0
        self._courses: list[str] = []
        self._viewers: bytes | int = 0

    async def step(self) -> int:
        pairs = await self._some_counted() + await self._some_present()
        return sum([await self._repair(pairs[at : at + PAIRS]) for at in range(0, len(pairs), PAIRS)])

    async def _repair(self, pairs: list[tuple[str, str]]) -> int:
        names = (self._partition.where, *(self._keys.course(course).viewers for _, course in pairs))
        args = [word for pair in pairs for word in pair]
        return int(await self._link.call(scripts.REPAIR, names, args, low_priority=True))

    async def _some_counted(self) -> list[tuple[str, str]]:
        scan = ("HSCAN", self._partition.where, self._counted, "COUNT", STEP)
        ((self._counted, flat),) = await self._link.pipeline([scan], low_priority=True)
        return [
            (viewer.decode(), course)
            for viewer, courses in zip(flat[::2], flat[1::2], strict=True)
            for course in courses.decode().split()
        ]

    async def _some_present(self) -> list[tuple[str, str]]:
        """Some viewers of one course; after the last of them it goes on with the next course."""
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

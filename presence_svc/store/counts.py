"""Counts of many courses at one moment, in short steps (S4). Group commit calls it for store.presence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ..errors import PresenceError
from ..model import Count
from ..settings import Settings
from . import scripts
from .keys import Keys, Partition
from .redis.link import Command, Link

STEP = 50  # courses in one exchange
Part = tuple[Partition, list[str]]


class Counts:
    """Reads the counts that were asked for together; those of a step are of one moment."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self._link = link
        self._settings = settings
        self._keys = keys

    async def read(self, course_ids: list[str]) -> list[Count | PresenceError]:
        """A count or an error for each, every course asked for once. Raises Unavailable when nothing came."""
        steps = self._steps(list(dict.fromkeys(course_ids)))
        if len(steps) == 1:
            found = await self._step(steps[0])
        else:
            found = {}
            for part in await asyncio.gather(*map(self._step, steps)):
                found |= part
        return [found[course_id] for course_id in course_ids]

    def _steps(self, courses: list[str]) -> list[list[Part]]:
        """Each of so few courses that scripts over many chapters hold nobody up."""
        parts: dict[int, list[str]] = {}
        for course_id in courses:
            parts.setdefault(self._keys.partition_of(course_id).number, []).append(course_id)
        steps: list[list[Part]] = []
        room = 0
        for number, listed in parts.items():
            for start in range(0, len(listed), STEP):
                some = listed[start : start + STEP]
                if len(some) > room:
                    steps.append([])
                    room = STEP
                steps[-1].append((self._keys.partitions[number], some))
                room -= len(some)
        return steps

    async def _step(self, step: list[Part]) -> dict[str, Count | PresenceError]:
        commands: list[Command] = []
        for partition, courses in step:
            commands += (count_call(self._keys, courses), ("GET", partition.since))
        replies: list[Any] = await self._link.results(commands, patient=True)
        found: dict[str, Count | PresenceError] = {}
        for (_, courses), reply, since in zip(step, replies[::2], replies[1::2], strict=True):
            if wrong := next((one for one in (reply, since) if isinstance(one, PresenceError)), None):
                found.update(dict.fromkeys(courses, wrong))
                continue
            warming = since is None or reply[0] - int(since) < self._settings.ttl_ms
            found.update(zip(courses, count_results(reply, courses, warming=warming), strict=True))
        return found


def count_call(keys: Keys, courses: Sequence[str]) -> Command:
    """The call that counts these courses at one moment."""
    names = [key for course_id in courses for key in keys.course(course_id)]
    return ("EVALSHA", scripts.COUNT, len(names), *names, len(courses))


def count_results(reply: list[Any], courses: Sequence[str], *, warming: bool) -> list[Count]:
    """The counts in the reply of count.lua, in the order of the call."""
    now, at, counts = reply[0], 1, []
    for course_id in courses:
        total, anonymous, version, n = reply[at : at + 4]
        at += 4
        counts.append(
            Count(
                course_id=course_id,
                total=total,
                named=total - anonymous,
                anonymous=anonymous,
                chapters={reply[i].decode(): reply[i + 1] for i in range(at, at + 2 * n, 2)},
                version=version,
                as_of=now,
                warming=warming,
            )
        )
        at += 2 * n
    return counts

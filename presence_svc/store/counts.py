"""Reads the counts of many courses at one moment, in short steps (S4). Called by group commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import PresenceError
from ..model import Count
from ..settings import Settings
from . import scripts
from .keys import Keys
from .redis.link import Command, Link


class Counts:
    """Reads counts that were asked for together; those in one script call are of the same moment."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self._link = link
        self._settings = settings
        self._keys = keys

    async def read(self, course_ids: list[str]) -> list[Count | PresenceError]:
        """A count or an error for each id; repeated ids are read once. Raises Unavailable without a reply."""
        left = self._by_partition(course_ids)
        counts: dict[str, Count | PresenceError] = {}
        while left:  # nearly always once; with very many chapters the script stops early
            counts |= await self._step(left)
            left = {
                number: rest
                for number, courses in left.items()
                if (rest := [course_id for course_id in courses if course_id not in counts])
            }
        return [counts[course_id] for course_id in course_ids]

    def _by_partition(self, course_ids: list[str]) -> dict[int, list[str]]:
        parts: dict[int, list[str]] = {}
        for course_id in dict.fromkeys(course_ids):
            parts.setdefault(self._keys.partition_of(course_id).number, []).append(course_id)
        return parts

    async def _step(self, parts: dict[int, list[str]]) -> dict[str, Count | PresenceError]:
        commands: list[Command] = []
        for number, courses in parts.items():
            commands += (count_call(self._keys, courses), ("GET", self._keys.partitions[number].since))
        replies: list[Any] = await self._link.results(commands, low_priority=True)
        found: dict[str, Count | PresenceError] = {}
        for courses, reply, since in zip(parts.values(), replies[::2], replies[1::2], strict=True):
            if wrong := next((one for one in (reply, since) if isinstance(one, PresenceError)), None):
                found.update(dict.fromkeys(courses, wrong))
                continue
            warming = since is None or reply[0] - int(since) < self._settings.ttl_ms
            counted = count_results(reply, courses, warming=warming)
            found.update((count.course_id, count) for count in counted)
        return found


def count_call(keys: Keys, courses: Sequence[str]) -> Command:
    """The script call that counts these courses at one moment."""
    names = [key for course_id in courses for key in keys.course(course_id)]
    return ("EVALSHA", scripts.COUNT, len(names), *names, len(courses))


def count_results(reply: list[Any], courses: Sequence[str], *, warming: bool) -> list[Count]:
    """Parses the reply of count.lua: counts in the order of the call, for as many courses as it came to."""
    now, at, counts = reply[0], 1, []
    for course_id in courses:
        if at == len(reply):
            break
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

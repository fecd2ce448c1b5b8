"""Counts of many courses at one moment, in one exchange (S4). Group commit calls it for store.presence."""

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
    """Reads the counts that were asked for together."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self._link = link
        self._settings = settings
        self._keys = keys

    async def read(self, course_ids: list[str]) -> list[Count | PresenceError]:
        """A count or an error for each, every course asked for once. Raises Unavailable when nothing came."""
        parts = list(self._by_partition(course_ids).items())
        commands: list[Command] = []
        for number, courses in parts:
            commands += (count_call(self._keys, courses), ("GET", self._keys.partitions[number].since))
        replies = await self._link.results(commands)
        found: dict[str, Count | PresenceError] = {}
        for (_, courses), reply, since in zip(parts, replies[::2], replies[1::2], strict=True):
            if isinstance(reply, PresenceError) or isinstance(since, PresenceError):
                wrong = reply if isinstance(reply, PresenceError) else since
                found.update(dict.fromkeys(courses, wrong))
                continue
            warming = since is None or reply[0] - int(since) < self._settings.ttl_ms
            found.update(zip(courses, count_results(reply, courses, warming=warming), strict=True))
        return [found[course_id] for course_id in course_ids]

    def _by_partition(self, course_ids: list[str]) -> dict[int, list[str]]:
        parts: dict[int, list[str]] = {}
        for course_id in dict.fromkeys(course_ids):
            parts.setdefault(self._keys.partition_of(course_id).number, []).append(course_id)
        return parts


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

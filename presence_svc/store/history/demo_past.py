"""Writes an invented past for `presence-svc demo`, whose pages show two weeks of history from the start.

Only for an empty Redis: it overwrites existing history. Raises Unavailable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ...settings import Settings
from ..keys import Keys
from ..redis.link import Command, Link
from .keys import BLOCK
from .reader import QUARTERS_A_DAY
from .series import Value

CHUNK = 500
COURSE = ""  # instead of a chapter id


class Past(NamedTuple):
    """A course's minutes and quarters, by number and then by chapter, and its distinct viewers by day."""

    course_id: str
    minutes: Mapping[int, Mapping[str, Value]]
    quarters: Mapping[int, Mapping[str, Value]]
    uniques: Mapping[int, int]


class Writer:
    """Writes in the format of sweep.lua: minutes as lines, quarters and days as hashes, and the logs."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self._link = link
        self._settings = settings
        self._keys = Keys.of(settings)

    async def write(self, pasts: Iterable[Past], first: int, now: int) -> None:
        """Writes everything, and the fact that history was kept from `first` to `now` (ms)."""
        commands: list[Command] = [
            ("HSET", partition.heard, "first", first - self._settings.ttl_ms, "last", now)
            for partition in self._keys.partitions
        ]
        closed: dict[tuple[int, int], list[str]] = {}
        for past in pasts:
            numbers = {name: n for n, name in enumerate(sorted(_chapters(past)), 1)}
            commands += (
                self._minutes(past, numbers) + self._quarters(past, numbers) + self._days(past, numbers)
            )
            if numbers:
                flat = [word for item in numbers.items() for word in item]
                commands.append(("HSET", self._keys.numbers(past.course_id), *flat))
            partition = self._keys.partition_of(past.course_id)
            commands.append(("ZADD", partition.seen, now, past.course_id))
            for quarter in past.quarters:
                if (quarter + 1) * 15 * self._settings.minute_ms <= now:
                    closed.setdefault((quarter, partition.number), []).append(
                        f"{past.course_id} {quarter} 0\n"
                    )
        for (quarter, number), lines in sorted(closed.items()):
            key = self._keys.closed(quarter + 1, self._keys.partitions[number])
            commands.append(("SET", key, "".join(lines)))
        commands += [("PEXPIRE", key, self._settings.days_ms) for key in {str(each[1]) for each in commands}]
        for start in range(0, len(commands), CHUNK):
            await self._link.pipeline(commands[start : start + CHUNK])

    def _minutes(self, past: Past, numbers: Mapping[str, int]) -> list[Command]:
        hours: dict[int, list[str]] = {}
        for minute, values in past.minutes.items():
            for chapter, value in values.items():
                number = f" {numbers[chapter]}" if chapter else ""
                hours.setdefault(minute // 60, []).append(f"{minute % 60} {_text(value)}{number}\n")
        return [
            ("SET", self._keys.minutes(past.course_id, hour), "".join(lines)) for hour, lines in hours.items()
        ]

    def _quarters(self, past: Past, numbers: Mapping[str, int]) -> list[Command]:
        days: dict[int, list[str]] = {}
        for quarter, values in past.quarters.items():
            day, slot = divmod(quarter, QUARTERS_A_DAY)
            for chapter, value in values.items():
                days.setdefault(day, []).extend((_slot(slot, chapter, numbers), _text(value)))
        return [("HSET", self._keys.quarters(past.course_id, day), *flat) for day, flat in days.items()]

    def _days(self, past: Past, numbers: Mapping[str, int]) -> list[Command]:
        folded: dict[tuple[int, str], Value] = {}
        for quarter, values in past.quarters.items():
            for chapter, value in values.items():
                at = (quarter // QUARTERS_A_DAY, chapter)
                old = folded.get(at, Value(0, 0, False))
                folded[at] = Value(max(old.peak, value.peak), old.viewer_ms + value.viewer_ms, False)
        commands: list[Command] = [
            (
                "HSET",
                self._keys.days(past.course_id, day // BLOCK),
                _slot(day % BLOCK, chapter, numbers),
                _text(value),
            )
            for (day, chapter), value in folded.items()
        ]
        for day, n in past.uniques.items():
            commands.append(("HSET", self._keys.days(past.course_id, day // BLOCK), f"{day % BLOCK}.u", n))
        return commands


def _chapters(past: Past) -> set[str]:
    return {chapter for values in past.quarters.values() for chapter in values} - {COURSE}


def _slot(slot: int, chapter: str, numbers: Mapping[str, int]) -> str:
    return f"{slot}.{numbers[chapter]}" if chapter else str(slot)


def _text(value: Value) -> str:
    return f"{value.peak} {value.viewer_ms}"

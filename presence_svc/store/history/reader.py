"""Reads a course's closed minutes, quarters and days; what was not recorded in a gap is unknown (S13).

Called by store.history.answers. Its callers bound the range.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...settings import Settings
from ..counts import count_call
from ..keys import Keys
from ..redis.link import Command, Link
from .gaps import BEFORE, gap_commands, gaps_of
from .keys import BLOCK, MINUTES_A_DAY
from .series import Gap, Series, Value, merged, minutes_of, series, value_of

_OPEN = re.compile(rb"m(\d+)")
QUARTERS_A_DAY = 96
CHUNK = 200  # commands in an exchange
FIELDS = 2_000  # fields in a command


class Coverage(NamedTuple):
    """What is known of a course at `now`: minutes are closed up to `closed_until`. ms by Redis's clock."""

    now: int
    closed_until: int
    gaps: list[Gap]

    def is_closed(self, minute_ms: int) -> bool:
        """Whether every minute that is over is closed."""
        return self.closed_until >= (self.now - 1) // minute_ms * minute_ms


class Reader:
    """All calls raise Unavailable. `number` is a chapter's number in history; "" stands for the course."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self._link = link
        self._settings = settings
        self._keys = keys
        self.minute_ms = settings.minute_ms
        self.quarter_ms, self.day_ms = 15 * self.minute_ms, MINUTES_A_DAY * self.minute_ms

    async def coverage(self, course_id: str) -> Coverage:
        """Reads what is known of a course now."""
        keys, partition = self._keys, self._keys.partition_of(course_id)
        (now, *_), heard, gaps, state = await self._link.pipeline(
            [
                count_call(keys, [course_id]),
                *gap_commands(partition),
                ("HGETALL", keys.course(course_id).state),
            ]
        )
        closed_until = self._closed_until(now, dict(zip(state[::2], state[1::2], strict=True)))
        return Coverage(now, closed_until, gaps_of(self._settings, now, heard, gaps))

    def _closed_until(self, now: int, state: Mapping[bytes, bytes]) -> int:
        """Until when (ms) all minutes are closed. An empty course has nothing to close."""
        closed = (now - 1) // self.minute_ms
        minutes = [int(found[1]) for field in state if (found := _OPEN.match(field))]
        closed = min([closed, *minutes])
        if int(state.get(b"n", 0)) > 0 and b"closed" in state:
            closed = min(closed, int(state[b"closed"]))
        return closed * self.minute_ms

    async def number(self, course_id: str, chapter_id: str | None) -> str | None:
        """A chapter's number; None if it has no history."""
        if chapter_id is None:
            return ""
        (number,) = await self._link.pipeline([("HGET", self._keys.numbers(course_id), chapter_id)])
        return number.decode() if number is not None else None

    async def numbers(self, course_id: str) -> dict[str, str]:
        """All chapters by number."""
        (flat,) = await self._link.pipeline([("HGETALL", self._keys.numbers(course_id))])
        return {n.decode(): name.decode() for name, n in zip(flat[::2], flat[1::2], strict=True)}

    async def busiest(self, course_id: str, begin: int, end: int, limit: int) -> dict[str, str]:
        """The chapters, by number, with the most viewer time on the days that a range (ms) overlaps."""
        days = range(begin // self.day_ms, -(-end // self.day_ms))
        numbers = await self.numbers(course_id)
        viewer_ms_of = dict.fromkeys(numbers, 0)
        fields = [(n, day) for n in numbers for day in days]
        for start in range(0, len(fields), FIELDS):
            part = fields[start : start + FIELDS]
            for block in {day // BLOCK for _, day in part}:
                mine = [(n, day) for n, day in part if day // BLOCK == block]
                slots = [f"{day % BLOCK}.{n}" for n, day in mine]
                (reply,) = await self._link.pipeline([("HMGET", self._keys.days(course_id, block), *slots)])
                for (n, _), text in zip(mine, reply, strict=True):
                    viewer_ms_of[n] += value_of(text.decode()).viewer_ms if text else 0
        best = sorted(
            (n for n in viewer_ms_of if viewer_ms_of[n]), key=lambda n: (-viewer_ms_of[n], numbers[n])
        )
        return {n: numbers[n] for n in best[:limit]}

    async def minutes(
        self, course_id: str, number: str | None, begin: int, end: int, coverage: Coverage
    ) -> Series:
        """The minutes from `begin` to `end` (ms)."""
        size = self.minute_ms
        first, last = begin // size, -(-end // size)
        oldest = (coverage.now - self._settings.minutes_ms) // size
        hours = range(max(first, oldest) // 60, -(-last // 60)) if number is not None else range(0)
        texts = await self._read([("GET", self._keys.minutes(course_id, hour)) for hour in hours])
        values: dict[int, Value] = {}
        for hour, text in zip(hours, texts, strict=True):
            if text:
                values |= minutes_of(hour, text.decode(), number or "")
        return self._series(size, first, last, values, coverage, oldest)

    async def quarters(
        self, course_id: str, number: str | None, begin: int, end: int, coverage: Coverage
    ) -> Series:
        """The quarters from `begin` to `end` (ms)."""
        size = self.quarter_ms
        first, last = begin // size, -(-end // size)
        oldest = (coverage.now - self._settings.quarters_ms) // size
        days = range(max(first, oldest) // QUARTERS_A_DAY, -(-last // QUARTERS_A_DAY))
        fields = [f"{quarter}.{number}" if number else str(quarter) for quarter in range(QUARTERS_A_DAY)]
        replies = await self._read(
            [("HMGET", self._keys.quarters(course_id, day), *fields) for day in days if number is not None]
        )
        values = {
            day * QUARTERS_A_DAY + quarter: value_of(text.decode())
            for day, reply in zip(days, replies, strict=False)
            for quarter, text in enumerate(reply)
            if text
        }
        return self._series(size, first, last, values, coverage, oldest)

    async def days(
        self, course_id: str, number: str | None, begin: int, end: int, coverage: Coverage
    ) -> Series:
        """The UTC days from `begin` to `end` (ms)."""
        size = self.day_ms
        first, last = begin // size, -(-end // size)
        oldest = (coverage.now - self._settings.days_ms) // size
        suffix = f".{number}" if number else ""
        found = (
            await self._of_days(course_id, range(max(first, oldest), last), suffix)
            if number is not None
            else {}
        )
        values = {day: value_of(text) for day, text in found.items()}
        return self._series(size, first, last, values, coverage, oldest)

    async def uniques(self, course_id: str, begin: int, end: int) -> dict[int, int]:
        """Distinct viewers by UTC day. The newest day is counted now: its number is written per quarter."""
        days = range(begin // self.day_ms, -(-end // self.day_ms))
        if self._settings.uniques == "off" or not days:
            return {}
        found = {day: int(text) for day, text in (await self._of_days(course_id, days, ".u")).items()}
        count = "SCARD" if self._settings.uniques == "exact" else "PFCOUNT"
        newest = days[-1:]
        counted = await self._read([(count, self._keys.uniques(course_id, day)) for day in newest])
        return found | {day: n for day, n in zip(newest, counted, strict=True) if n}

    async def _of_days(self, course_id: str, days: range, suffix: str) -> dict[int, str]:
        blocks = range(days.start // BLOCK, (days.stop - 1) // BLOCK + 1) if days else range(0)
        fields = [f"{day}{suffix}" for day in range(BLOCK)]
        replies = await self._read(
            [("HMGET", self._keys.days(course_id, block), *fields) for block in blocks]
        )
        return {
            block * BLOCK + day: text.decode()
            for block, reply in zip(blocks, replies, strict=True)
            for day, text in enumerate(reply)
            if text and block * BLOCK + day in days
        }

    def _series(
        self, size: int, first: int, last: int, values: dict[int, Value], coverage: Coverage, oldest: int
    ) -> Series:
        gaps = merged([*coverage.gaps, (BEFORE, oldest * size)])
        kept = {unit: value for unit, value in values.items() if unit >= oldest}
        return series(size, first, last, kept, gaps, coverage.closed_until)

    async def _read(self, commands: list[Command]) -> list[Any]:
        replies: list[Any] = []
        for start in range(0, len(commands), CHUNK):
            replies += await self._link.pipeline(commands[start : start + CHUNK])
        return replies

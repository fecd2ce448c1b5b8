"""The answers of the history routes and of `presence-svc history`: series, a calendar, chapters over time.

Raises Unavailable. Callers validate ranges. Sums are computed in a thread, as they may take some ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from zoneinfo import ZoneInfo

from ...errors import PresenceError
from ...settings import Settings
from ..agenda import Agenda
from ..keys import Keys
from ..redis.link import Link
from . import steps
from .columns import column, columns_of, minutes
from .model import Calendar, ChapterHeat, Heatmap, History
from .model import Step as StepName
from .reader import Coverage, Reader
from .series import Series, Unit, total
from .steps import Step

WEEK_MS = 7 * steps.DAY_MS
MOST_SWEEPS = 20  # of a course before it is read: a minute of 2,000 chapters takes ten


class HistoryAnswers:
    """Reads through Reader and sums up by the local time of a zone.

    The sweeper closes minutes later than they end, because those of all courses end together. With an
    `agenda`, those of a course are closed before it is read: a minute is known as soon as it is over.
    """

    def __init__(self, link: Link, settings: Settings, agenda: Agenda | None = None) -> None:
        self._settings = settings
        self._agenda = agenda
        self.reader = Reader(link, settings, Keys.of(settings))

    async def coverage(self, course_id: str) -> Coverage:
        """What is known of a course's history now; the other calls need it."""
        known = await self.reader.coverage(course_id)
        for _ in range(MOST_SWEEPS):
            if self._agenda is None or known.is_closed(self._settings.minute_ms):
                break
            try:
                await self._agenda.sweep([course_id])
            except PresenceError:  # a Redis that refuses writes still has what was closed until then
                break
            known = await self.reader.coverage(course_id)
        return known

    async def history(
        self,
        coverage: Coverage,
        course_id: str,
        chapter_id: str | None,
        step: StepName,
        wanted: Sequence[Step],
        zone: ZoneInfo,
    ) -> History:
        """A course, or one chapter of it, by the given steps (at least one)."""
        number = await self.reader.number(course_id, chapter_id)
        low, high = wanted[0].begin, wanted[-1].end
        read = {"1m": self.reader.minutes, "1d": self._days if _is_utc(zone) else self.reader.quarters}.get(
            step, self.reader.quarters
        )
        found = await read(course_id, number, low, high, coverage)
        is_daily = step == "1d" and _is_utc(zone) and chapter_id is None
        uniques = await self.reader.uniques(course_id, low, high) if is_daily else {}
        columns = await asyncio.to_thread(columns_of, found, wanted)
        unique = [
            uniques.get(one.begin // self.reader.day_ms, 0) if is_daily and peak is not None else None
            for one, (peak, _, _, _) in zip(wanted, columns, strict=True)
        ]
        if self._settings.uniques == "off":
            unique = [None] * len(wanted)
        return History(
            course_id=course_id,
            chapter_id=chapter_id,
            step=step,
            tz=str(zone),
            **{"from": low},
            to=high,
            as_of=coverage.now,
            unique_approximate=self._settings.uniques == "hll",
            t=[one.begin for one in wanted],
            peak=[peak for peak, _, _, _ in columns],
            average=[average for _, average, _, _ in columns],
            viewer_minutes=[viewer_ms for _, _, viewer_ms, _ in columns],
            unique=unique,
            partial=[partial for _, _, _, partial in columns],
        )

    async def _days(
        self, course_id: str, number: str | None, begin: int, end: int, coverage: Coverage
    ) -> Series:
        return await self.reader.days(course_id, number, begin, end, coverage)

    async def calendar(self, coverage: Coverage, course_id: str, weeks: int, zone: ZoneInfo) -> Calendar:
        """The last weeks, including today, by weekday and hour."""
        end = next(iter(steps.days(coverage.now, coverage.now + 1, zone))).end
        begin = next(iter(steps.days(end - weeks * WEEK_MS, end, zone))).begin
        found = await self.reader.quarters(course_id, "", begin, end, coverage)
        peak, average = await asyncio.to_thread(by_weekday, found, begin, end, zone)
        return Calendar(
            course_id=course_id,
            tz=str(zone),
            weeks=weeks,
            **{"from": begin},
            to=end,
            as_of=coverage.now,
            peak=peak,
            average=average,
        )

    async def heatmap(
        self, coverage: Coverage, course_id: str, wanted: Sequence[Step], zone: ZoneInfo, limit: int
    ) -> Heatmap:
        """The chapters with the most viewer time, by the given quarters (at least one)."""
        low, high = wanted[0].begin, wanted[-1].end
        found: list[ChapterHeat] = []
        candidates = await self.reader.busiest(course_id, low, high, 2 * limit)
        for number, chapter_id in candidates.items():
            read = await self.reader.quarters(course_id, number, low, high, coverage)
            viewer_ms = sum(unit.viewer_ms for unit in read.units)
            if viewer_ms:
                columns = columns_of(read, wanted)
                found.append(
                    ChapterHeat(
                        chapter_id=chapter_id,
                        viewer_minutes=minutes(viewer_ms),
                        peak=[peak for peak, _, _, _ in columns],
                        average=[average for _, average, _, _ in columns],
                    )
                )
                found.sort(key=lambda heat: (-heat.viewer_minutes, heat.chapter_id))
                del found[limit:]
        return Heatmap(
            course_id=course_id,
            tz=str(zone),
            **{"from": low},
            to=high,
            as_of=coverage.now,
            t=[one.begin for one in wanted],
            chapters=found,
        )


def _is_utc(zone: ZoneInfo) -> bool:
    return str(zone) in ("UTC", "Etc/UTC", "Etc/GMT", "GMT", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu")


async def steps_of(
    step: StepName, begin: int, end: int, zone: ZoneInfo, *, limit: int, minute_ms: int = 60_000
) -> list[Step]:
    """The whole steps that a range (ms) overlaps: at least one, and at most the first `limit`."""
    found: Iterable[Step]
    end = max(end, begin + 1)
    if step in ("1m", "15m"):
        found = steps.even(begin, end, minute_ms * (1 if step == "1m" else 15))
    else:
        found = (steps.hours if step == "1h" else steps.days)(begin, end, zone)
    return await asyncio.to_thread(list, islice(found, limit))


def by_weekday(
    found: Series, begin: int, end: int, zone: ZoneInfo
) -> tuple[list[list[int | None]], list[list[float | None]]]:
    """Peak and average of every hour of the week."""
    cells: list[list[list[Unit]]] = [[[] for _ in range(24)] for _ in range(7)]
    for offset, unit in enumerate(found.units):
        at = (found.first + offset) * found.size
        if begin <= at < end and unit.length:
            there = steps.local(at, zone)
            cells[there.weekday()][there.hour].append(unit)
    columns = [[column(total(units)) for units in row] for row in cells]
    return (
        [[peak for peak, _, _, _ in row] for row in columns],
        [[average for _, average, _, _ in row] for row in columns],
    )

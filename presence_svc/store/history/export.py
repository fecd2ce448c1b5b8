"""The closed quarters of all courses, in the order in which they were closed, for data warehouses.

Called by web.api.export. A cursor is a position in the logs of closed quarters: the same cursor returns the
same rows again, and nothing is skipped. Raises Unavailable; Invalid for a malformed cursor.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...settings import Settings
from ..keys import Keys
from ..redis.link import Command, Link
from .closed_logs import Closed, ClosedLogs, LogPosition
from .columns import minutes
from .gaps import gap_commands, gaps_of
from .model import ExportRow
from .reader import QUARTERS_A_DAY, Reader
from .series import Gap, value_of

CHUNK = 200


class Page(NamedTuple):
    """Some rows, and the cursor for those that follow, now or later."""

    rows: list[ExportRow]
    cursor: str


class Export:
    """Reads page by page; a page ends after the quarter that fills it."""

    def __init__(self, link: Link, settings: Settings, reader: Reader) -> None:
        self._link = link
        self._settings = settings
        self._keys = Keys.of(settings)
        self._reader = reader
        self._logs = ClosedLogs(link, settings, self._keys)

    async def page(self, cursor: str | None, limit: int) -> Page:
        """At least `limit` rows, if there are so many: a quarter's rows are never split."""
        now = (await self._reader.coverage("-")).now
        oldest = (now - self._settings.quarters_ms) // self._reader.quarter_ms - 1
        position = LogPosition.decode(cursor) if cursor else LogPosition(-1, 0)
        if position.quarter < oldest:
            position = LogPosition(max(oldest, await self._logs.begin()), 0)
        rows: list[ExportRow] = []
        gaps: dict[int, list[Gap]] = {}  # by partition
        open_quarter = self._logs.open_quarter(now)
        async for log, size in self._logs.nonempty(position, open_quarter):
            position = log
            if log.partition not in gaps:
                gaps[log.partition] = await self._gaps(log.partition, now)
            while position.offset < size and (lines := await self._logs.lines(position)):
                for start in range(0, len(lines), CHUNK):
                    some = lines[start : start + CHUNK]
                    found = await self._rows(some, gaps[log.partition])
                    for line, of_quarter in zip(some, found, strict=True):
                        rows += of_quarter
                        position = line.next_position
                        if len(rows) >= limit:
                            return Page(rows, position.encode())
        return Page(rows, max(position, LogPosition(open_quarter, 0)).encode())

    async def _gaps(self, partition: int, now: int) -> list[Gap]:
        commands = gap_commands(self._keys.partitions[partition])
        return gaps_of(self._settings, now, *await self._link.pipeline(commands))

    async def _rows(self, closed: list[Closed], gaps: list[Gap]) -> list[list[ExportRow]]:
        """The rows of each quarter: the course first, then its chapters."""
        courses = list(dict.fromkeys(line.course_id for line in closed))
        flat = await self._link.pipeline([("HGETALL", self._keys.numbers(course)) for course in courses])
        chapters: dict[str, dict[str, str]] = {}
        for course, one in zip(courses, flat, strict=True):
            names = {n.decode(): name.decode() for name, n in zip(one[::2], one[1::2], strict=True)}
            chapters[course] = dict(sorted(names.items(), key=lambda item: item[1]))
        commands = [self._values(line, list(chapters[line.course_id])) for line in closed]
        replies = await self._link.pipeline(commands)
        return [
            self._of_quarter(line, chapters[line.course_id], reply, gaps)
            for line, reply in zip(closed, replies, strict=True)
        ]

    def _values(self, line: Closed, numbers: list[str]) -> Command:
        day, quarter = divmod(line.quarter, QUARTERS_A_DAY)
        fields = [str(quarter), *(f"{quarter}.{number}" for number in numbers)]
        return ("HMGET", self._keys.quarters(line.course_id, day), *fields)

    def _of_quarter(
        self, line: Closed, chapters: dict[str, str], values: list[Any], gaps: list[Gap]
    ) -> list[ExportRow]:
        size = self._reader.quarter_ms
        t = line.quarter * size
        is_partial = any(begin < t + size and end > t for begin, end in gaps)
        rows = []
        for chapter_id, text in zip((None, *chapters.values()), values, strict=True):
            if text is None:
                continue
            value = value_of(text.decode())
            rows.append(
                ExportRow(
                    key=f"{line.course_id} {chapter_id or '*'} {t}",
                    course_id=line.course_id,
                    chapter_id=chapter_id,
                    t=t,
                    closed_at=line.closed_at,
                    peak=value.peak,
                    average=round(value.viewer_ms / size, 3),
                    viewer_minutes=minutes(value.viewer_ms),
                    partial=value.partial or is_partial,
                )
            )
        return rows

"""The closed quarters of all courses, in the order in which they were closed, for warehouses.

Called by web.api.export. A cursor is a place in the log of closed quarters (keys.closed): what was given out
once is given out again for the same cursor, and nothing is skipped. Raises Unavailable; Invalid for a cursor.
"""

from __future__ import annotations

import base64
import re
from typing import Any, NamedTuple

from ...errors import Invalid
from ...settings import Settings
from ..keys import Keys
from ..redis.link import Command, Link
from .answers import minutes
from .model import ExportRow
from .reader import QUARTERS_A_DAY, Reader
from .series import Gap, value_of

PAGE_BYTES = 65_536
LOGS = 500  # looked at in one exchange
CHUNK = 200
_CURSOR = re.compile(r"(\d{1,12})\.(\d{1,12})(?:\.(\d{1,4}))?")


class Place(NamedTuple):
    """Behind so many bytes of the log of what was closed in this quarter, in a partition."""

    quarter: int
    offset: int
    partition: int = 0

    def encode(self) -> str:
        partition = f".{self.partition}" if self.partition else ""
        text = f"{self.quarter}.{self.offset}{partition}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Place:
        """Raises Invalid for what no page has given out."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
        except ValueError:
            raw = ""
        found = _CURSOR.fullmatch(raw)
        if found is None:
            raise Invalid([("/cursor", "is not a cursor of this route")])
        return cls(int(found[1]), int(found[2]), int(found[3] or 0))


class Closed(NamedTuple):
    """A line of the log: a course's quarter, and when it was closed (ms)."""

    course_id: str
    quarter: int
    closed_at: int


class Page(NamedTuple):
    """Some rows, and the cursor of what follows them, now or later."""

    rows: list[ExportRow]
    cursor: str


class Export:
    """Bounded: a page looks at PAGE_BYTES of the log at most, and ends with the quarter that fills it."""

    def __init__(self, link: Link, settings: Settings, reader: Reader) -> None:
        self._link = link
        self._settings = settings
        self._keys = Keys.of(settings)
        self._reader = reader

    async def page(self, cursor: str | None, limit: int) -> Page:
        """At least `limit` rows if there are as many: a quarter's rows come together."""
        known = await self._reader.known("-")
        now = known.now // self._reader.quarter_ms
        oldest = now - self._settings.quarters_ms // self._reader.quarter_ms - 1
        place = Place.decode(cursor) if cursor else Place(oldest, 0)
        if place.quarter < oldest:
            place = Place(oldest, 0)
        rows: list[ExportRow] = []
        while len(rows) < limit:
            place, lines = await self._lines(place, now)
            if not lines:
                break
            for at, (line, size) in enumerate(lines):
                if at % CHUNK == 0:
                    found = await self._rows([line for line, _ in lines[at : at + CHUNK]], known.gaps)
                rows += found[at % CHUNK]
                place = place._replace(offset=place.offset + size)
                if len(rows) >= limit:
                    break
        return Page(rows, place.encode())

    async def _lines(self, place: Place, now: int) -> tuple[Place, list[tuple[Closed, int]]]:
        """The next lines of the log, each with its size, and where they begin.

        The newest log may still grow. A Cluster has one per partition: all are read when all are whole.
        """
        partitions = self._keys.partitions
        end = now + 1 if len(partitions) == 1 else now
        if place.partition >= len(partitions):
            raise Invalid([("/cursor", "is not a cursor of this route")])
        while True:
            begin = place.quarter * len(partitions) + place.partition
            logs = range(begin, min(begin + LOGS, end * len(partitions)))
            if not logs:
                return place, []
            keys = [self._key(*divmod(log, len(partitions))) for log in logs]
            sizes = await self._link.pipeline([("STRLEN", key) for key in keys])
            for log, size in zip(logs, sizes, strict=True):
                quarter, partition = divmod(log, len(partitions))
                offset = place.offset if log == begin else 0
                if size > offset:
                    place = Place(quarter, offset, partition)
                    return place, await self._parsed(place)
            if logs.stop >= end * len(partitions):
                if end > now:
                    return Place(now, place.offset if place.quarter == now else 0), []
                return Place(now, 0), []
            place = Place(logs.stop // len(partitions), 0, logs.stop % len(partitions))

    def _key(self, quarter: int, partition: int) -> str:
        return self._keys.closed(quarter, self._keys.partitions[partition])

    async def _parsed(self, place: Place) -> list[tuple[Closed, int]]:
        key = self._key(place.quarter, place.partition)
        (text,) = await self._link.pipeline([("GETRANGE", key, place.offset, place.offset + PAGE_BYTES - 1)])
        lines = []
        for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
            try:
                course, quarter, late = line.decode().split()
                closed_at = (int(quarter) + 1) * self._reader.quarter_ms + int(late)
            except ValueError:
                raise Invalid([("/cursor", "is not a cursor of this route")]) from None
            lines.append((Closed(course, int(quarter), closed_at), len(line)))
        return lines

    async def _rows(self, closed: list[Closed], gaps: list[Gap]) -> list[list[ExportRow]]:
        """The rows of each of these quarters: of the course, then of its chapters."""
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
        is_torn = any(begin < t + size and end > t for begin, end in gaps)
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
                    average=round(value.area / size, 3),
                    viewer_minutes=minutes(value.area),
                    partial=value.torn or is_torn,
                )
            )
        return rows

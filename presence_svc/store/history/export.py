"""The closed quarters of all courses, in the order in which they were closed, for warehouses.

Called by web.api.export. A cursor is a place in the log of closed quarters (keys.closed): what was given out
once is given out again for the same cursor, and nothing is skipped. Raises Unavailable; Invalid for a cursor.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from ...errors import Invalid
from ...settings import Settings
from ..keys import Keys
from ..redis.link import Command, Link
from .answers import minutes
from .gaps import gap_commands, gaps_of
from .model import ExportRow
from .reader import QUARTERS_A_DAY, Reader
from .series import Gap, value_of

PAGE_BYTES = 65_536
LOGS = 500  # looked at in one exchange
CHUNK = 200
SKEW_MS = 10_000  # how far masters' clocks are apart at most: `doctor` has them within 5 s of its own
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
    """Bounded: a page looks at PAGE_BYTES of a log at once, and ends with the quarter that fills it."""

    def __init__(self, link: Link, settings: Settings, reader: Reader) -> None:
        self._link = link
        self._settings = settings
        self._keys = Keys.of(settings)
        self._reader = reader

    async def page(self, cursor: str | None, limit: int) -> Page:
        """At least `limit` rows if there are as many: a quarter's rows come together."""
        now = (await self._reader.known("-")).now
        oldest = (now - self._settings.quarters_ms) // self._reader.quarter_ms - 1
        place = Place.decode(cursor) if cursor else Place(-1, 0)
        if place.partition >= len(self._keys.partitions):
            raise Invalid([("/cursor", "is not a cursor of this route")])
        if place.quarter < oldest:
            place = Place(max(oldest, await self._begin()), 0)
        rows: list[ExportRow] = []
        gaps: dict[int, list[Gap]] = {}  # by partition
        open_quarter = self._open_quarter(now)
        async for log, size in self._logs(place, open_quarter):
            place = log
            if place.partition not in gaps:
                gaps[place.partition] = await self._gaps(place.partition, now)
            while place.offset < size and (lines := await self._parsed(place)):
                for at, (line, length) in enumerate(lines):
                    if at % CHUNK == 0:
                        some = [line for line, _ in lines[at : at + CHUNK]]
                        found = await self._rows(some, gaps[place.partition])
                    rows += found[at % CHUNK]
                    place = place._replace(offset=place.offset + length)
                    if len(rows) >= limit:
                        return Page(rows, place.encode())
        return Page(rows, max(place, Place(open_quarter, 0)).encode())

    def _open_quarter(self, now: int) -> int:
        """The first one that is not given out to its end: on one server its log may grow while it is read.

        A Cluster has a log per partition, which are read one behind the other: so none may grow any more, by
        the clock of any master.
        """
        return (now - (SKEW_MS if self._keys.is_partitioned else 0)) // self._reader.quarter_ms

    async def _begin(self) -> int:
        """The quarter in which history began; 0 = not known, in some partition."""
        heard = await self._link.pipeline([("HGET", one.heard, "first") for one in self._keys.partitions])
        return min(int(first or 0) for first in heard) // self._reader.quarter_ms

    async def _gaps(self, partition: int, now: int) -> list[Gap]:
        commands = gap_commands(self._keys.partitions[partition])
        return gaps_of(self._settings, now, *await self._link.pipeline(commands))

    async def _logs(self, place: Place, open_quarter: int) -> AsyncIterator[tuple[Place, int]]:
        """Where in the logs, from here on, there is something to read, and up to where, in order."""
        many = len(self._keys.partitions)
        first = place.quarter * many + place.partition
        end = open_quarter * many if self._keys.is_partitioned else open_quarter + 1
        for begin in range(first, end, LOGS):
            places = [Place(log // many, 0, log % many) for log in range(begin, min(begin + LOGS, end))]
            if begin == first:
                places[0] = place
            sizes = await self._link.pipeline([("STRLEN", self._key(one)) for one in places])
            for one, size in zip(places, sizes, strict=True):
                if size > one.offset:
                    yield one, size

    def _key(self, place: Place) -> str:
        return self._keys.closed(place.quarter, self._keys.partitions[place.partition])

    async def _parsed(self, place: Place) -> list[tuple[Closed, int]]:
        key = self._key(place)
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

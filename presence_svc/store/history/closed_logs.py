"""The logs of closed quarters (keys.closed): one per quarter, on a Cluster one per quarter and partition.

Read by export from a given position on. Logs are append-only, so that a position always has the same lines.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ...errors import Invalid
from ...settings import Settings
from ..keys import Keys
from ..redis.link import Link

PAGE_BYTES = 65_536
LOGS = 500  # checked in one exchange
SKEW_MS = 10_000  # the largest difference of masters' clocks: `doctor` wants each within 5 s of its own
_CURSOR = re.compile(r"(\d{1,12})\.(\d{1,12})(?:\.(\d{1,4}))?")


class LogPosition(NamedTuple):
    """An offset in bytes in the log of what was closed in a quarter, in a partition."""

    quarter: int
    offset: int
    partition: int = 0

    def encode(self) -> str:
        partition = f".{self.partition}" if self.partition else ""
        text = f"{self.quarter}.{self.offset}{partition}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> LogPosition:
        """Parses a cursor. Raises Invalid if it is malformed."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
        except ValueError:
            raw = ""
        found = _CURSOR.fullmatch(raw)
        if found is None:
            raise _wrong()
        return cls(int(found[1]), int(found[2]), int(found[3] or 0))


class Closed(NamedTuple):
    """A line of a log: a course's quarter, when it was closed (ms), and where the next line begins."""

    course_id: str
    quarter: int
    closed_at: int
    next_position: LogPosition


class ClosedLogs:
    """All calls raise Unavailable."""

    def __init__(self, link: Link, settings: Settings, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._quarter_ms = settings.quarter_ms

    def open_quarter(self, now: int) -> int:
        """The first quarter whose logs may still grow. On one server that log is read as far as it goes.

        On a Cluster it is not read, because the logs of one quarter are read one after the other. It is the
        first by the clock of any master.
        """
        return (now - (SKEW_MS if self._keys.is_partitioned else 0)) // self._quarter_ms

    async def begin(self) -> int:
        """The quarter in which history began; 0 = not known, in some partition."""
        heard = await self._link.pipeline([("HGET", one.heard, "first") for one in self._keys.partitions])
        return min(int(first or 0) for first in heard) // self._quarter_ms

    async def nonempty(self, begin: LogPosition, open_quarter: int) -> AsyncIterator[tuple[LogPosition, int]]:
        """Positions, in order from `begin` on, at which a log has something to read, and the log's size."""
        if begin.partition >= len(self._keys.partitions):
            raise _wrong()
        positions = self._positions(begin, open_quarter, await self._partitions())
        while some := list(islice(positions, LOGS)):
            sizes = await self._link.pipeline([("STRLEN", self._key(one)) for one in some])
            for one, size in zip(some, sizes, strict=True):
                if size > one.offset:
                    yield one, size

    async def _partitions(self) -> Sequence[int]:
        """The partitions in which anything was ever closed: only their logs need to be checked."""
        partitions = self._keys.partitions
        if not self._keys.is_partitioned:
            return (0,)
        seen = await self._link.pipeline([("ZCARD", one.seen) for one in partitions])
        return [one.number for one, many in zip(partitions, seen, strict=True) if many]

    def _positions(
        self, begin: LogPosition, open_quarter: int, partitions: Sequence[int]
    ) -> Iterator[LogPosition]:
        for quarter in range(begin.quarter, open_quarter + (not self._keys.is_partitioned)):
            for partition in partitions:
                if quarter > begin.quarter or partition > begin.partition:
                    yield LogPosition(quarter, 0, partition)
                elif partition == begin.partition:
                    yield begin

    def _key(self, position: LogPosition) -> str:
        return self._keys.closed(position.quarter, self._keys.partitions[position.partition])

    async def lines(self, position: LogPosition) -> list[Closed]:
        """Some lines from this position on. Raises Invalid if no line begins there."""
        last = position.offset + PAGE_BYTES - 1
        (text,) = await self._link.pipeline([("GETRANGE", self._key(position), position.offset, last)])
        lines = []
        for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
            try:
                course, quarter, late = line.decode().split()
                closed_at = (int(quarter) + 1) * self._quarter_ms + int(late)
            except ValueError:
                raise _wrong() from None
            position = position._replace(offset=position.offset + len(line))
            lines.append(Closed(course, int(quarter), closed_at, position))
        return lines


def _wrong() -> Invalid:
    return Invalid([("/cursor", "is not a cursor of this route")])

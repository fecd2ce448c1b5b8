"""Parts of the order in which a course's viewers stand, and what is known of the named there. For reader."""

from __future__ import annotations

from dataclasses import dataclass

from ...model import Viewer
from ...settings import Settings
from .. import scripts
from ..keys import Keys
from ..redis.link import Link
from .entry import Entry, fields_of, read_entry


@dataclass(frozen=True, slots=True)
class Stretch:
    """The named of a part of the order; `last` is where it ended, `whole` that nobody comes behind."""

    now: int
    total: int
    anonymous: int
    entries: list[Entry]
    last: tuple[int, str]
    whole: bool


class Stretches:
    """Reads them. Raises Unavailable when Redis is away."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self._link, self._settings = link, settings
        self._keys = Keys.of(settings)

    async def read(
        self,
        course_id: str,
        chapter_id: str,
        many: int,
        *,
        start: int | str = "",
        after: tuple[int, str] | None = None,
        leaps: bool = False,
    ) -> Stretch:
        """`many` named ones, the longest lease first: of all, from `start` ms ahead, or `after` (end, id)."""
        args = (chapter_id, many, start, *(after or ("", "")), int(leaps))
        reply = await self._link.call(scripts.VIEWERS, self._keys.course(course_id), args, low_priority=True)
        now, total, anonymous, is_end, last, last_ends, n = reply[:7]
        at = 7 + 2 * n
        chapters = {reply[i]: reply[i + 1].decode() for i in range(7, at, 2)}
        rows = [(reply[i].decode(), reply[i + 1]) for i in range(at, len(reply), 2)]
        entries = await self._entries(course_id, rows, chapters, now)
        return Stretch(now, total, anonymous, entries, (last_ends, last.decode()), bool(is_end))

    async def _entries(
        self, course_id: str, rows: list[tuple[str, int]], chapters: dict[int, str], now: int
    ) -> list[Entry]:
        if not rows:
            return []
        commands = [("HGETALL", self._keys.viewer(course_id, viewer_id)) for viewer_id, _ in rows]
        hashes = map(fields_of, await self._link.pipeline(commands, low_priority=True))
        return [
            read_entry(viewer_id, ends, fields, chapters, now, self._settings)
            for (viewer_id, ends), fields in zip(rows, hashes, strict=True)
        ]

    async def those(self, course_id: str, viewer_ids: list[str]) -> list[Viewer]:
        """Those of these viewers who are there by name, in no order."""
        if not viewer_ids:
            return []
        keys = self._keys.course(course_id)
        (seconds, micros), places, hidden, *hashes = await self._link.pipeline(
            [
                ("TIME",),
                ("HGETALL", keys.chapters),
                ("ZMSCORE", keys.anonymous, *viewer_ids),
                *(("HGETALL", self._keys.viewer(course_id, viewer_id)) for viewer_id in viewer_ids),
            ],
            low_priority=True,
        )
        now = int(seconds) * 1000 + int(micros) // 1000
        chapters = {int(place): chapter.decode() for chapter, place in fields_of(places).items()}
        entries = [
            read_entry(viewer_id, 0, fields_of(fields), chapters, now, self._settings)
            for viewer_id, fields, until in zip(viewer_ids, hashes, hidden, strict=True)
            if float(until or 0) <= now
        ]
        return [entry.shown for entry in entries if entry.shown]

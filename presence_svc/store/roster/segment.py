"""Segments of the order of a course's viewers (by lease end), with the profiles of the named. For reader."""

from __future__ import annotations

from dataclasses import dataclass

from ...model import Viewer
from ...settings import Settings
from .. import scripts
from ..keys import Keys
from ..redis.link import Link
from .entry import Entry, fields_of, read_entry


@dataclass(frozen=True, slots=True)
class Segment:
    """The named viewers of a part of the order. `last`: where it ended; `whole`: nobody comes after it."""

    now: int
    total: int
    anonymous: int
    entries: list[Entry]
    last: tuple[int, str]
    whole: bool


class SegmentReader:
    """Reads segments. Raises Unavailable when Redis is away."""

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
        skips: bool = False,
    ) -> Segment:
        """Reads `many` named viewers, the longest lease first.

        It begins at the top, at leases that end `start` ms from now, or after the viewer `after` (lease end,
        id). `skips`: it may skip runs of anonymous viewers.
        """
        args = (chapter_id, many, start, *(after or ("", "")), int(skips))
        reply = await self._link.call(scripts.VIEWERS, self._keys.course(course_id), args, low_priority=True)
        now, total, anonymous, is_end, last, last_ends, n = reply[:7]
        at = 7 + 2 * n
        chapters = {reply[i]: reply[i + 1].decode() for i in range(7, at, 2)}
        rows = [(reply[i].decode(), reply[i + 1]) for i in range(at, len(reply), 2)]
        entries = await self._entries(course_id, rows, chapters, now)
        return Segment(now, total, anonymous, entries, (last_ends, last.decode()), bool(is_end))

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

    async def find_named(self, course_id: str, viewer_ids: list[str]) -> list[Viewer]:
        """Those of these viewers who are present and named, in no particular order."""
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

"""Pages of a course's named viewers: the most recently heard from first, then everybody, nobody missed.

Called by web.api.courses and live.hub. Heartbeats move viewers up in the order and so past a simple cursor.
So the first page shows those heard from most recently; the pages after it walk down through all viewers and
then, in further rounds, through those heard from since the previous round began.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ...model import Roster, Viewer
from ...settings import Settings
from ..redis.link import Link
from ..shared import Shared
from .cursor import Cursor, digest
from .entry import Entry
from .seal import Seal
from .segment import Segment, SegmentReader

AT_ONCE = 4  # pages under way: many readers must leave connections for heartbeats
STEPS = 8
SKIM = 200


_Page = tuple[Segment, list[Viewer], Cursor | None]  # for its totals, the viewers shown, the next cursor


class Rosters:
    """Reads rosters. Raises Unavailable when Redis is away, Invalid for a cursor of another course."""

    def __init__(self, link: Link, settings: Settings, shared: Shared) -> None:
        self.settings = settings
        self._segments = SegmentReader(link, settings)
        self._seal = Seal(shared, b"presence-cursor")
        self._limit = asyncio.Semaphore(AT_ONCE)

    def public_view(self, course_id: str, viewer: Viewer) -> Viewer:
        """The viewer as others may see them."""
        return viewer

    def alias(self, course_id: str, viewer_id: str) -> str:
        """The id that others see instead of this viewer's own; "" if they see the own one."""
        return ""

    async def page(
        self, course_id: str, *, limit: int, cursor: str | None = None, chapter_id: str = ""
    ) -> Roster:
        """As `read`, with viewers as others may see them."""
        roster = await self.read(course_id, limit=limit, cursor=cursor, chapter_id=chapter_id)
        viewers = [self.public_view(course_id, viewer) for viewer in roster.viewers]
        return roster.model_copy(update={"viewers": viewers})

    async def read(
        self, course_id: str, *, limit: int, cursor: str | None = None, chapter_id: str = ""
    ) -> Roster:
        """At most `limit` named viewers. A heartbeat meanwhile may show its viewer twice, never hide them."""
        at = Cursor.decode(cursor, self._seal, course_id) if cursor is not None else None
        async with self._limit:
            if at is None:
                part, shown, follows = await self._first(course_id, chapter_id, limit)
            else:
                part, shown, follows = await self._later(course_id, chapter_id, limit, at)
        return Roster(
            viewers=shown,
            total=part.total,
            named=part.total - part.anonymous,
            anonymous=part.anonymous,
            next_cursor=follows.encode(self._seal, course_id) if follows else None,
        )

    async def _first(self, course_id: str, chapter_id: str, limit: int) -> _Page:
        """The viewers heard from most recently. Sessions in hidden tabs have longer leases, hence two reads.

        The top of the order has hidden sessions. Visible ones begin a TTL from now, among hidden ones that
        were heard from earlier; they are read until nobody further down can be more recent than the page.
        """
        top = await self._segments.read(course_id, chapter_id, limit * 2, skips=True)
        found = {entry.viewer_id: entry for entry in top.entries if entry.shown}
        order, part, below = _last_heard(found, limit), top, None
        for _ in range(0 if top.whole else STEPS):
            part = await self._segments.read(
                course_id,
                chapter_id,
                max(limit * 2, SKIM if below else 0),
                start=self.settings.ttl_ms,
                after=below,
                skips=True,
            )
            found |= {entry.viewer_id: entry for entry in part.entries if entry.shown}
            order, below = _last_heard(found, limit), part.last
            if part.whole or (len(order) == limit and order[-1].heard >= below[0] - self.settings.ttl_ms):
                break
        if not chapter_id and len(order) < min(limit, top.total - top.anonymous):
            found |= await self._without_skips(course_id)
            order = _last_heard(found, limit)
        shown = [entry.shown for entry in order if entry.shown]
        named = top.total - top.anonymous
        if (top.whole and len(found) <= limit) or (not chapter_id and len(shown) >= named):
            return top, shown, None
        first = "".join(digest(entry.viewer_id) for entry in order)
        return top, shown, Cursor(top.now, 0, first, news=True)

    async def _without_skips(self, course_id: str) -> dict[str, Entry]:
        """Named viewers with the longest leases, including those that skipping has missed."""
        found: dict[str, Entry] = {}
        after: tuple[int, str] | None = None
        for _ in range(STEPS):
            part = await self._segments.read(course_id, "", SKIM, after=after)
            found |= {entry.viewer_id: entry for entry in part.entries if entry.shown}
            after = part.last
            if part.whole:
                break
        return found

    async def _later(self, course_id: str, chapter_id: str, limit: int, at: Cursor) -> _Page:
        shown: list[Viewer] = []
        follows: Cursor | None = at
        for _ in range(STEPS):
            many = limit if at.since == 0 else max(limit, SKIM)
            after = (at.after, at.after_id) if at.after else None
            part = await self._segments.read(course_id, chapter_id, many, after=after)
            follows = self._walk(at, part, shown, limit)
            if follows is None or len(shown) == limit:
                break
            at = follows
        return part, shown, follows

    def _walk(self, at: Cursor, part: Segment, shown: list[Viewer], limit: int) -> Cursor | None:
        """Shows the new viewers of a segment. At a round's end the next one covers those heard from since."""
        # A viewer heard from after `since` has a lease that ends at least a TTL after it.
        floor = at.since + self.settings.ttl_ms if at.since else 0
        ended = part.whole
        for entry in part.entries:
            if entry.ends <= floor:
                ended = True
                break
            at = replace(at, after=entry.ends, after_id=entry.viewer_id)
            if entry.shown and _is_new(entry, at):
                shown.append(entry.shown)
                at = replace(at, news=True)
                if len(shown) == limit:
                    return at
        if not ended and part.last[0] > floor:
            return replace(at, after=part.last[0], after_id=part.last[1])
        return Cursor(part.now, at.began, "") if at.news else None

    async def find_named(self, course_id: str, viewer_ids: list[str]) -> list[Viewer]:
        """Those of these viewers who are present and named, in no particular order."""
        return await self._segments.find_named(course_id, viewer_ids)


def _is_new(entry: Entry, at: Cursor) -> bool:
    """Whether a viewer was heard from since the last round began; in the first: was not on page one."""
    if at.since:
        return entry.heard > at.since
    return entry.heard > at.began or digest(entry.viewer_id) not in at.first


def _last_heard(found: dict[str, Entry], limit: int) -> list[Entry]:
    return sorted(found.values(), key=lambda e: (e.heard, e.viewer_id), reverse=True)[:limit]

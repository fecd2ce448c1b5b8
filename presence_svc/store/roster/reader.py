"""Pages of who is in a course: the most recently heard from first, then everybody, nobody missed.

Called by web.api.courses and live.hub. Viewers move up the order whenever they beat, so a plain cursor would
lose those who move past it. Here the first page shows whom Redis heard last; the pages after it walk all
viewers downwards and then, in further rounds, those who were heard from since a round began.
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
from .stretch import Stretch, Stretches

AT_ONCE = 4  # pages under way: a crowd of readers must leave connections to the heartbeats
STEPS = 8
SKIM = 200


_Page = tuple[Stretch, list[Viewer], Cursor | None]  # whose numbers it shows, whom, and where to go on


class Rosters:
    """Reads who is there. Raises Unavailable when Redis is away, Invalid for a foreign cursor."""

    def __init__(self, link: Link, settings: Settings, shared: Shared) -> None:
        self.settings = settings
        self._stretches = Stretches(link, settings)
        self._seal = Seal(shared, b"presence-cursor")
        self._turns = asyncio.Semaphore(AT_ONCE)

    def seen(self, course_id: str, viewer: Viewer) -> Viewer:
        """What others may see of a viewer."""
        return viewer

    def alias(self, course_id: str, viewer_id: str) -> str:
        """What others see as this viewer's id, where that is another; else ""."""
        return ""

    async def page(
        self, course_id: str, *, limit: int, cursor: str | None = None, chapter_id: str = ""
    ) -> Roster:
        """As read, with what others may see of each."""
        roster = await self.read(course_id, limit=limit, cursor=cursor, chapter_id=chapter_id)
        viewers = [self.seen(course_id, viewer) for viewer in roster.viewers]
        return roster.model_copy(update={"viewers": viewers})

    async def read(
        self, course_id: str, *, limit: int, cursor: str | None = None, chapter_id: str = ""
    ) -> Roster:
        """At most `limit` named viewers. Who beats meanwhile may be shown twice, never left out."""
        at = Cursor.decode(cursor, self._seal, course_id) if cursor is not None else None
        async with self._turns:
            if at is None:
                part, shown, on = await self._first(course_id, chapter_id, limit)
            else:
                part, shown, on = await self._later(course_id, chapter_id, limit, at)
        return Roster(
            viewers=shown,
            total=part.total,
            named=part.total - part.anonymous,
            anonymous=part.anonymous,
            next_cursor=on.encode(self._seal, course_id) if on else None,
        )

    async def _first(self, course_id: str, chapter_id: str, limit: int) -> _Page:
        """The order is by lease, hidden sessions have longer ones: the last heard are found from two ends.

        From a TTL downwards are the visible, among hidden ones that were heard long ago: it is read until
        nobody below can have been heard later than those whom the page shows.
        """
        top = await self._stretches.read(course_id, chapter_id, limit * 2, leaps=True)
        found = {entry.viewer_id: entry for entry in top.entries if entry.shown}
        order, part, below = _last_heard(found, limit), top, None
        for _ in range(0 if top.whole else STEPS):
            part = await self._stretches.read(
                course_id,
                chapter_id,
                max(limit * 2, SKIM if below else 0),
                start=self.settings.ttl_ms,
                after=below,
                leaps=True,
            )
            found |= {entry.viewer_id: entry for entry in part.entries if entry.shown}
            order, below = _last_heard(found, limit), part.last
            if part.whole or (len(order) == limit and order[-1].heard >= below[0] - self.settings.ttl_ms):
                break
        if not chapter_id and len(order) < min(limit, top.total - top.anonymous):
            found |= await self._without_leaps(course_id)
            order = _last_heard(found, limit)
        shown = [entry.shown for entry in order if entry.shown]
        named = top.total - top.anonymous
        if (top.whole and len(found) <= limit) or (not chapter_id and len(shown) >= named):
            return top, shown, None
        first = "".join(digest(entry.viewer_id) for entry in order)
        return top, shown, Cursor(top.now, 0, first, news=True)

    async def _without_leaps(self, course_id: str) -> dict[str, Entry]:
        """The named whom a leap has missed, among those with the longest leases."""
        found: dict[str, Entry] = {}
        after: tuple[int, str] | None = None
        for _ in range(STEPS):
            part = await self._stretches.read(course_id, "", SKIM, after=after)
            found |= {entry.viewer_id: entry for entry in part.entries if entry.shown}
            after = part.last
            if part.whole:
                break
        return found

    async def _later(self, course_id: str, chapter_id: str, limit: int, at: Cursor) -> _Page:
        shown: list[Viewer] = []
        on: Cursor | None = at
        for _ in range(STEPS):
            many = limit if at.since == 0 else max(limit, SKIM)
            after = (at.after, at.after_id) if at.after else None
            part = await self._stretches.read(course_id, chapter_id, many, after=after)
            on = self._walk(at, part, shown, limit)
            if on is None or len(shown) == limit:
                break
            at = on
        return part, shown, on

    def _walk(self, at: Cursor, part: Stretch, shown: list[Viewer], limit: int) -> Cursor | None:
        """Takes what is new from a stretch. At a round's end: another, over those heard since it began."""
        # Whoever was heard from after `since` has a lease beyond it by a TTL at least.
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

    async def those(self, course_id: str, viewer_ids: list[str]) -> list[Viewer]:
        """Those of these viewers who are there by name, in no order."""
        return await self._stretches.those(course_id, viewer_ids)


def _is_new(entry: Entry, at: Cursor) -> bool:
    """Heard from since the last round began; in the first round: not already shown on page one."""
    if at.since:
        return entry.heard > at.since
    return entry.heard > at.began or digest(entry.viewer_id) not in at.first


def _last_heard(found: dict[str, Entry], limit: int) -> list[Entry]:
    return sorted(found.values(), key=lambda e: (e.heard, e.viewer_id), reverse=True)[:limit]

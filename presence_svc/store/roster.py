"""Pages of who is in a course: the most recently heard from first, then everybody, nobody missed.

Called by web.routes and live.hub. Viewers move up the order whenever they beat, so a plain cursor would
lose those who move past it. Here the first page shows whom Redis heard last; the pages after it walk all
viewers downwards and then, in further rounds, those who were heard from since a round began.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace

import orjson

from ..errors import Invalid
from ..model import Roster, Viewer
from ..settings import Settings
from . import scripts
from .connect import Link
from .keys import Keys

STEPS = 8
SKIM = 200

Fields = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a client's walk stands.

    The round began at `began` and shows who was heard after `since`, but not again page one, which ended at
    (`seen`, `seen_id`); `news`: it has shown somebody; the walk goes on below (`after`, `after_id`).
    """

    began: int
    since: int
    seen: int
    seen_id: str
    news: bool = False
    after: int = 0
    after_id: str = ""

    def encode(self) -> str:
        fields = [getattr(self, name) for name in self.__slots__]
        return base64.urlsafe_b64encode(orjson.dumps(fields)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises Invalid for what no page has given out."""
        try:
            fields = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            kinds = (int, int, int, str, bool, int, str)
            numbers = [field for field in fields if type(field) is int]
            if tuple(map(type, fields)) == kinds and all(0 <= n < 2**52 for n in numbers):
                return cls(*fields)
        except (ValueError, TypeError, binascii.Error):
            pass
        raise Invalid([("/cursor", "is not a cursor of this service")])


@dataclass(frozen=True, slots=True)
class _Entry:
    """A viewer in the walk: place in the order, when last heard (ms), and what to show (None = anonymous)."""

    viewer_id: str
    ends: int
    heard: int
    shown: Viewer | None


@dataclass(frozen=True, slots=True)
class _Stretch:
    now: int
    total: int
    anonymous: int
    entries: list[_Entry]
    whole: bool


class Rosters:
    """Reads who is there. Raises Unavailable when Redis is away, Invalid for a foreign cursor."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys(settings.key_prefix)

    async def page(
        self, course_id: str, *, limit: int, cursor: str | None = None, chapter_id: str = ""
    ) -> Roster:
        """At most `limit` named viewers; who beats while a client pages may come twice, but is never left out."""
        if cursor is None:
            return await self._first(course_id, chapter_id, limit)
        return await self._later(course_id, chapter_id, limit, Cursor.decode(cursor))

    async def _first(self, course_id: str, chapter_id: str, limit: int) -> Roster:
        """Hidden sessions have longer leases: the last heard is found among the visible and the hidden."""
        want = limit * 2
        visible = await self._stretch(course_id, chapter_id, want, start=self.settings.ttl_ms)
        longest = await self._stretch(course_id, chapter_id, want)
        found = {e.viewer_id: e for e in (*visible.entries, *longest.entries) if e.shown}
        order = sorted(found.values(), key=lambda e: (e.heard, e.viewer_id), reverse=True)
        page = order[:limit]
        shown = [entry.shown for entry in page if entry.shown]
        named = longest.total - longest.anonymous
        whole = longest.whole and len(order) <= limit
        if whole or (not chapter_id and page and len(page) >= named):
            return _roster(longest, shown, None)
        # Without anybody named on this page the walk must show everybody.
        end = page[-1] if page else _Entry("", 0, longest.now + 1, None)
        cursor = Cursor(longest.now, 0, end.heard, end.viewer_id, news=True)
        return _roster(longest, shown, cursor)

    async def _later(self, course_id: str, chapter_id: str, limit: int, at: Cursor) -> Roster:
        shown: list[Viewer] = []
        on: Cursor | None = at
        for _ in range(STEPS):
            many = limit if at.since == 0 else max(limit, SKIM)
            part = await self._stretch(course_id, chapter_id, many, after=at)
            on = self._walk(at, part, shown, limit)
            if on is None or len(shown) == limit:
                break
            at = on
        return _roster(part, shown, on)

    def _walk(self, at: Cursor, part: _Stretch, shown: list[Viewer], limit: int) -> Cursor | None:
        """Takes what is new from a stretch. After a round: one over those heard since it began, if any were."""
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
        if not ended:
            return at
        return Cursor(part.now, at.began, 0, "") if at.news else None

    async def _stretch(
        self,
        course_id: str,
        chapter_id: str,
        many: int,
        *,
        start: int | str = "",
        after: Cursor | None = None,
    ) -> _Stretch:
        position = (after.after, after.after_id) if after and after.after else ("", "")
        reply = await self.link.call(
            scripts.VIEWERS,
            self.keys.course(course_id),
            (chapter_id, many, start, *position),
        )
        now, total, anonymous, n = reply[:4]
        at = 4 + 2 * n
        chapters = {reply[i]: reply[i + 1].decode() for i in range(4, at, 2)}
        rows = [(reply[i].decode(), reply[i + 1], bool(reply[i + 2])) for i in range(at, len(reply), 3)]
        entries = await self._entries(course_id, rows, chapters, now)
        return _Stretch(now, total, anonymous, entries, len(rows) < many)

    async def _entries(
        self, course_id: str, rows: list[tuple[str, int, bool]], chapters: dict[int, str], now: int
    ) -> list[_Entry]:
        named = [viewer_id for viewer_id, _, anonymous in rows if not anonymous]
        hashes = {}
        if named:
            commands = [("HGETALL", self.keys.viewer(course_id, viewer_id)) for viewer_id in named]
            replies = await self.link.pipeline(commands)
            hashes = {v: dict(zip(r[::2], r[1::2], strict=True)) for v, r in zip(named, replies, strict=True)}
        return [
            self._entry(viewer_id, ends, hashes.get(viewer_id, {}), chapters, now)
            for viewer_id, ends, _ in rows
        ]

    def _entry(self, viewer_id: str, ends: int, fields: Fields, chapters: dict[int, str], now: int) -> _Entry:
        """Reads a viewer's hash; one that is gone by now has left since the order was read."""
        expires, heard, places = 0, 0, set()
        for field, record in fields.items():
            if field.startswith(b"s:"):
                lease, _, place, flags = record.split(b" ", 3)
                ttl = self.settings.hidden_ttl_ms if flags[:1] == b"h" else self.settings.ttl_ms
                if int(lease) > now:
                    expires, heard = max(expires, int(lease)), max(heard, int(lease) - ttl)
                    places.add(int(place))
        if not expires:
            return _Entry(viewer_id, ends, 0, None)
        viewer = Viewer(
            viewer_id=viewer_id,
            name=_text(fields.get(b"name")),
            avatar_url=_text(fields.get(b"avatar_url")),
            chapters=sorted(chapters[place] for place in places if place in chapters),
            joined_at=int(fields.get(b"joined_at", now)),
            expires_at=expires,
        )
        return _Entry(viewer_id, ends, heard, viewer)


def _is_new(entry: _Entry, at: Cursor) -> bool:
    """Heard from since the last round began, and not already shown on the first page."""
    if at.since:
        return entry.heard > at.since
    return entry.heard > at.began or (entry.heard, entry.viewer_id) < (at.seen, at.seen_id)


def _text(value: bytes | None) -> str | None:
    return value.decode() if value else None


def _roster(part: _Stretch, viewers: list[Viewer], cursor: Cursor | None) -> Roster:
    return Roster(
        viewers=viewers,
        total=part.total,
        named=part.total - part.anonymous,
        anonymous=part.anonymous,
        next_cursor=cursor.encode() if cursor else None,
    )

"""One viewer in the walk through a roster, read from their hash. Used by store.roster.reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...model import Viewer
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class Entry:
    """A viewer in the walk: place in the order, when last heard (ms), and what to show (None = anonymous)."""

    viewer_id: str
    ends: int
    heard: int
    shown: Viewer | None


def fields_of(reply: Any) -> dict[bytes, bytes]:
    """What HGETALL answers, by either protocol of Redis."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def read_entry(
    viewer_id: str,
    ends: int,
    fields: dict[bytes, bytes],
    chapters: dict[int, str],
    now: int,
    settings: Settings,
) -> Entry:
    """Reads a viewer's hash; one that is gone by now has left since the order was read."""
    expires, heard, places = 0, 0, set()
    for field, record in fields.items():
        if not field.startswith(b"s:"):
            continue
        lease, _, place, flags = record.split(b" ", 3)
        ttl_ms = settings.hidden_ttl_ms if flags[:1] == b"h" else settings.ttl_ms
        if int(lease) > now:
            expires, heard = max(expires, int(lease)), max(heard, int(lease) - ttl_ms)
            places.add(int(place))
    if not expires:
        return Entry(viewer_id, ends, 0, None)
    viewer = Viewer(
        viewer_id=viewer_id,
        name=_said(fields, b"name"),
        avatar_url=_said(fields, b"avatar_url"),
        chapters=sorted(chapters[place] for place in places if place in chapters),
        joined_at=int(fields.get(b"joined_at", now)),
        expires_at=expires,
    )
    return Entry(viewer_id, ends, heard, viewer)


def _said(fields: dict[bytes, bytes], field: bytes) -> str | None:
    """What a named viewer has said last; hidden while a session of theirs was anonymous, which is over."""
    return (fields.get(field) or fields.get(b"hidden_" + field, b"")).decode() or None

"""One viewer of a roster, read from their hash. Used by store.roster.segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...model import Viewer
from ...settings import Settings


@dataclass(frozen=True, slots=True)
class Entry:
    """A viewer: their position `ends` (ms), when last heard from (ms), and what to show (None = nothing)."""

    viewer_id: str
    ends: int
    heard: int
    shown: Viewer | None


def fields_of(reply: Any) -> dict[bytes, bytes]:
    """The fields in a reply to HGETALL, in either version of Redis's protocol."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def read_entry(
    viewer_id: str,
    ends: int,
    fields: dict[bytes, bytes],
    chapters: dict[int, str],
    now: int,
    settings: Settings,
) -> Entry:
    """Reads a viewer's hash. An empty hash means that the viewer has left since the order was read."""
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
        name=_profile_field(fields, b"name"),
        avatar_url=_profile_field(fields, b"avatar_url"),
        chapters=sorted(chapters[place] for place in places if place in chapters),
        joined_at=int(fields.get(b"joined_at", now)),
        expires_at=expires,
    )
    return Entry(viewer_id, ends, heard, viewer)


def _profile_field(fields: dict[bytes, bytes], field: bytes) -> str | None:
    """A named viewer's name or picture; it may still be in its hidden_* field after an anonymous session."""
    return (fields.get(field) or fields.get(b"hidden_" + field, b"")).decode() or None

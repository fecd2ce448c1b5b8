"""SSE frames, encoded once and written to every stream. Used by live.hub and web.streams."""

from __future__ import annotations

import random

import orjson

from ..model import Count, Roster

KEEP_ALIVE = b": keep-alive\n\n"
WAITING = b": redis is away, the count follows\n\n"
RETRY_MS = (500, 5_000)


def count_frame(count: Count) -> bytes:
    """`event: count`; the id is the version."""
    return b"event: count\nid: %d\ndata: %b\n\n" % (count.version, orjson.dumps(count.__dict__))


def viewers_frame(course_id: str, roster: Roster, version: int) -> bytes:
    """`event: viewers`: the most recently heard from, and how many there are in all."""
    data = {
        "course_id": course_id,
        "viewers": [viewer.__dict__ for viewer in roster.viewers],
        "total": roster.total,
        "version": version,
    }
    return b"event: viewers\ndata: %b\n\n" % orjson.dumps(data)


def bye_frame() -> bytes:
    """`event: bye`, and a random pause before the next try, in ms: a crowd must not come back at once."""
    retry_ms = random.randint(*RETRY_MS)
    return b"event: bye\nretry: %d\ndata: {}\n\n" % retry_ms

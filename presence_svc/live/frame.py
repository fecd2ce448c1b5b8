"""SSE frames, encoded once and written to every stream. Used by live.hub and web.streams."""

from __future__ import annotations

import random

import orjson

from ..model import Count, Roster

KEEP_ALIVE = b": keep-alive\n\n"
WAITING = b": redis is away, the count follows\n\n"
RETRY_MS = (500, 5_000)


class Frame:
    """One event, as text and as a chunk of an HTTP/1.1 body: made once, however many streams it goes to."""

    __slots__ = ("chunk", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.chunk = b"%x\r\n%b\r\n" % (len(text), text)


def count_frame(count: Count) -> Frame:
    """`event: count`; the id is the version."""
    return Frame(b"event: count\nid: %d\ndata: %b\n\n" % (count.version, orjson.dumps(count.__dict__)))


def viewers_frame(course_id: str, roster: Roster, version: int) -> Frame:
    """`event: viewers`: the most recently heard from, and how many there are in all."""
    data = {
        "course_id": course_id,
        "viewers": [viewer.__dict__ for viewer in roster.viewers],
        "total": roster.total,
        "version": version,
    }
    return Frame(b"event: viewers\ndata: %b\n\n" % orjson.dumps(data))


def bye_frame() -> bytes:
    """`event: bye`, and a random pause before the next try, in ms: a crowd must not come back at once."""
    retry_ms = random.randint(*RETRY_MS)
    return b"event: bye\nretry: %d\ndata: {}\n\n" % retry_ms

"""What streams and sockets are told, encoded once however many listen. Used by live.hub and web."""

from __future__ import annotations

import random
from collections.abc import Mapping
from sys import intern
from typing import Any

import orjson

from ..model import Count, Viewer
from ..store.people.counter import People

WAITING = b": redis is away, the count follows\n\n"
RETRY_MS = (500, 5_000)


def keep_alive(seconds: int = 0) -> bytes:
    """A comment, which says in how many seconds the next one comes where the client has asked for that."""
    return b": keep-alive %d\n\n" % seconds if seconds else b": keep-alive\n\n"


def chunk(text: bytes) -> bytes:
    """A part of an HTTP/1.1 body."""
    return b"%x\r\n%b\r\n" % (len(text), text)


class Frame:
    """One event: as SSE text, as a chunk of an HTTP/1.1 body, and as a socket's message.

    `key` is its kind and course: a newer frame of the same key takes its place.
    """

    __slots__ = ("chunk", "key", "message", "text")

    def __init__(self, key: str, text: bytes, message: str) -> None:
        self.key = intern(key)  # a crowd's mailboxes find it by its identity
        self.text = text
        self.chunk = chunk(text)
        self.message = message


def message(kind: str, data: bytes) -> str:
    """What a socket is told: the same JSON object, which also says its type."""
    return f'{{"type":"{kind}",{data[1:].decode()}'


def count_frame(count: Count, chapters: Mapping[str, int]) -> Frame:
    """`event: count`, with these of its chapters; the id is the version."""
    data = orjson.dumps({**count.__dict__, "chapters": chapters})
    text = b"event: count\nid: %d\ndata: %b\n\n" % (count.version, data)
    return Frame(f"count {count.course_id}", text, message("count", data))


def viewers_frame(course_id: str, viewers: list[Viewer], total: int, version: int) -> Frame:
    """`event: viewers`: some of those who are there by name, and how many there are in all."""
    data = orjson.dumps(
        {
            "course_id": course_id,
            "viewers": [viewer.__dict__ for viewer in viewers],
            "total": total,
            "version": version,
        }
    )
    return Frame(f"viewers {course_id}", b"event: viewers\ndata: %b\n\n" % data, message("viewers", data))


def refused_frame(course_id: str, what: str, problem: Mapping[str, Any]) -> Frame:
    """`event: refused`: which course is not told of, or only without its `viewers`, and why."""
    data = orjson.dumps({"course_id": course_id, "what": what, **problem})
    return Frame(f"refused {course_id}", b"event: refused\ndata: %b\n\n" % data, message("refused", data))


def people_frame(people: People) -> Frame:
    """`event: people`: distinct viewers over all courses."""
    data = orjson.dumps(people._asdict())
    return Frame("people", b"event: people\ndata: %b\n\n" % data, message("people", data))


def retry_ms() -> int:
    """A random pause before the next try: a crowd must not come back at once."""
    return random.randint(*RETRY_MS)


def bye_frame() -> bytes:
    """`event: bye`, and when to try again, in ms."""
    return b"event: bye\nretry: %d\ndata: {}\n\n" % retry_ms()

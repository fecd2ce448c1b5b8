"""A plain heartbeat on one connection, from what its head says to its answer. Used by web.express."""

from __future__ import annotations

from typing import NamedTuple

HEADS = 4096
HEAD_CAP = 2048


class Plain(NamedTuple):
    """What the head of a plain heartbeat says."""

    course_id: str
    authorization: bytes | None
    origin: bytes | None
    length: int


class Heads(dict[bytes, Plain]):
    """Heads that the parser has read before, byte for byte: most requests begin with one. Bounded."""

    def remember(self, head: bytes, plain: Plain) -> None:
        if len(head) <= HEAD_CAP:
            if len(self) >= HEADS:
                del self[next(iter(self))]
            self[head] = plain


class _Silent:
    """Stands where uvicorn keeps an event for an app that waits for a body: nobody waits here."""

    def set(self) -> None:
        pass


class Cycle:
    """A heartbeat under way; has what uvicorn's protocol asks of a request's cycle."""

    __slots__ = ("body", "disconnected", "keep_alive", "more_body", "plain", "response_complete")
    message_event = _Silent()
    response_started = False

    def __init__(self, plain: Plain) -> None:
        self.plain = plain
        self.body = b""
        self.more_body = True
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

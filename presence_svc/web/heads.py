"""Heads of requests that were read before, byte for byte, and what they said. Used by web.express."""

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

"""A plain heartbeat on one connection, from what its head says to its answer. Used by web.express."""

from __future__ import annotations

import re
from typing import NamedTuple

HEADS = 4096
HEAD_CAP = 2048
# What a token is made of (RFC 6750): nothing that could end its line, or be read in another way.
BEARER = re.compile(rb"\r\n[Aa]uthorization: (Bearer [A-Za-z0-9._~+/=-]+)(?=\r\n)")


class Plain(NamedTuple):
    """What the head of a plain heartbeat says."""

    course_id: str
    authorization: bytes | None
    origin: bytes | None
    length: int


class Heads(dict[bytes | tuple[bytes, bytes], Plain]):
    """Heads that the parser has read before, byte for byte: most requests begin with one. Bounded.

    Of one with a token, what is before and behind the token is kept, and the token is not: a crowd whose
    heads differ in nothing else needs one place. Such a key is a pair, which no whole head can equal.
    """

    def find(self, head: bytes) -> Plain | None:
        """What this head says, if its like was read before."""
        plain = self.get(head)
        if plain is None and (bearer := BEARER.search(head)):
            start, end = bearer.span(1)
            like = self.get((head[:start], head[end:]))
            if like is not None:
                return Plain(like.course_id, bearer[1], like.origin, like.length)
        return plain

    def remember(self, head: bytes, plain: Plain) -> None:
        if len(head) > HEAD_CAP:
            return
        if len(self) >= HEADS:
            del self[next(iter(self))]
        bearer = BEARER.search(head)
        if plain.authorization is None:
            self[head] = plain
        elif bearer and bearer[1] == plain.authorization:
            start, end = bearer.span(1)
            self[head[:start], head[end:]] = plain._replace(authorization=None)


class _Silent:
    """Stands where uvicorn keeps an event for an app that waits for a body: nobody waits here."""

    def set(self) -> None:
        pass


class Cycle:
    """A heartbeat under way; has what uvicorn's protocol asks of a request's cycle."""

    message_event = _Silent()
    response_started = False
    # How each begins: few are ever set on one of them, and there is one for every heartbeat.
    body = b""
    more_body = True
    keep_alive = True
    disconnected = False
    response_complete = False

    def __init__(self, plain: Plain) -> None:
        self.plain = plain

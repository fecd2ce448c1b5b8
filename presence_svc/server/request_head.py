"""A plain heartbeat on one connection, from what its head says to its answer. Used by server.fast_path."""

from __future__ import annotations

import re
from typing import NamedTuple, Self, TypeVar

from ..store.redis.resp import made
from ..web.origins import Origins

# The course's id as model.ID_PATTERN has it, unescaped; whatever differs is the ASGI app's to judge.
PATH = re.compile(rb"/v1/courses/([A-Za-z0-9_.:@~|=+-]{1,128})/heartbeat\Z")
# A request with any of these is not plain.
UNUSUAL = frozenset((b"expect", b"transfer-encoding", b"upgrade", b"x-forwarded-for", b"x-forwarded-proto"))
HEADS = 4096
HEAD_CAP = 2048
BEARER = b"Bearer "
LINES = b"\r\nAuthorization: ", b"\r\nauthorization: "
# What a token is made of (RFC 6750): nothing that could end its line, or be read in another way.
TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="


Like = TypeVar("Like", bytes, tuple[bytes, bytes])


class HeartbeatHead(NamedTuple):
    """What the head of a plain heartbeat says."""

    course_id: str
    authorization: bytes | None
    origin: bytes | None
    length: int

    @classmethod
    def read(
        cls, url: bytes, pairs: list[tuple[bytes, bytes]], body_limit: int, origins: Origins
    ) -> Self | None:
        """What a POST's path and headers say, when they are a plain heartbeat's."""
        path, headers = PATH.match(url), dict(pairs)
        if path is None or len(headers) != len(pairs) or not UNUSUAL.isdisjoint(headers):
            return None
        length = headers.get(b"content-length")
        if length is None or not length.isdigit() or len(length) > 4 or int(length) > body_limit:
            return None
        if headers.get(b"content-type") != b"application/json" or not origins.allow(headers):
            return None
        return cls(path[1].decode(), headers.get(b"authorization"), headers.get(b"origin"), int(length))


class HeadCache:
    """Heads that the parser has read before, byte for byte: most requests begin with one. Bounded.

    Of one with a token, what is before and behind the token is kept, and the token is not: a crowd whose
    heads differ in nothing else needs one place.
    """

    def __init__(self) -> None:
        self._whole: dict[bytes, HeartbeatHead] = {}
        self._parts: dict[tuple[bytes, bytes], HeartbeatHead] = {}

    def find(self, head: bytes) -> HeartbeatHead | None:
        """What this head says, if its like was read before."""
        plain = self._whole.get(head) if self._whole else None
        if plain is None and self._parts:
            before, bearer, behind = _split(head)
            like = self._parts.get((before, behind))
            if like is not None and len(bearer) > len(BEARER) and bearer.translate(None, TOKEN) == b" ":
                return made(HeartbeatHead, (like.course_id, bearer, like.origin, like.length))
        return plain

    def remember(self, head: bytes, plain: HeartbeatHead) -> None:
        if len(head) > HEAD_CAP:
            return
        if plain.authorization is None:
            _keep(self._whole, head, plain)
            return
        before, bearer, behind = _split(head)
        if bearer == plain.authorization and before.endswith(LINES):
            _keep(self._parts, (before, behind), plain._replace(authorization=None))


def _split(head: bytes) -> tuple[bytes, bytes, bytes]:
    """A head up to its bearer token, the token with its scheme, and what is behind it."""
    start = head.find(BEARER)
    end = head.find(b"\r", start)
    return head[:start], head[start:end], head[end:]


def _keep(heads: dict[Like, HeartbeatHead], head: Like, plain: HeartbeatHead) -> None:
    if len(heads) >= HEADS:
        del heads[next(iter(heads))]
    heads[head] = plain


class _Silent:
    """Stands where uvicorn keeps an event for an app that waits for a body: nobody waits here."""

    def set(self) -> None:
        pass


class HeartbeatCycle:
    """A heartbeat under way; has what uvicorn's protocol asks of a request's cycle."""

    message_event = _Silent()
    response_started = False
    # How each begins: few are ever set on one of them, and there is one for every heartbeat.
    body = b""
    more_body = True
    keep_alive = True
    disconnected = False
    response_complete = False

    def __init__(self, plain: HeartbeatHead) -> None:
        self.plain = plain

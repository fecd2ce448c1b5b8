"""An ordinary heartbeat on one connection: its parsed head, and its state until it is answered.

Used by server.fast_path.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self, TypeVar

from ..store.redis.resp import new_tuple
from ..web.origins import Origins
from ..web.paths import HEARTBEAT, ID, matcher

# The course's id by model.ID_PATTERN, without escapes; anything else is left to the ASGI app.
PATH = re.compile(matcher(HEARTBEAT, ID).pattern.encode())
# Requests with any of these headers take the ASGI path.
UNUSUAL = frozenset(
    (
        b"content-encoding",
        b"expect",
        b"transfer-encoding",
        b"upgrade",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    )
)
HEADS = 4096
HEAD_CAP = 2048
BEARER = b"Bearer "
LINES = b"\r\nAuthorization: ", b"\r\nauthorization: "
# The characters of a token (RFC 6750): none of them could end the line or have another meaning.
TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="


Like = TypeVar("Like", bytes, tuple[bytes, bytes])


class HeartbeatHead(NamedTuple):
    """The head of an ordinary heartbeat."""

    course_id: str
    authorization: bytes | None
    origin: bytes | None
    length: int

    @classmethod
    def read(
        cls, url: bytes, pairs: list[tuple[bytes, bytes]], body_limit: int, origins: Origins
    ) -> Self | None:
        """Parses a POST's path and headers; None if they are not an ordinary heartbeat's."""
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
    """Heads that were parsed before: most requests have the same head to the byte. Bounded.

    Of a head with a token, only the parts before and after the token are cached, so that clients whose heads
    differ only in the token share one entry, and no token is kept.
    """

    def __init__(self) -> None:
        self._whole: dict[bytes, HeartbeatHead] = {}
        self._parts: dict[tuple[bytes, bytes], HeartbeatHead] = {}

    def find(self, raw: bytes) -> HeartbeatHead | None:
        """The parsed head, if the same was parsed before."""
        head = self._whole.get(raw) if self._whole else None
        if head is None and self._parts:
            before, token, behind = _split(raw)
            like = self._parts.get((before, behind))
            if like is not None and token and not token.translate(None, TOKEN):
                return new_tuple(HeartbeatHead, (like.course_id, BEARER + token, like.origin, like.length))
        return head

    def remember(self, raw: bytes, head: HeartbeatHead) -> None:
        if len(raw) > HEAD_CAP:
            return
        if head.authorization is None:
            _keep(self._whole, raw, head)
            return
        before, token, behind = _split(raw)
        if BEARER + token == head.authorization and before.endswith(LINES):
            _keep(self._parts, (before, behind), head._replace(authorization=None))


def _split(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """Splits a head at its bearer token: up to its scheme, the token, and what follows its line."""
    before, _, rest = raw.partition(BEARER)
    token, _, behind = rest.partition(b"\r")
    return before, token, behind


def _keep(heads: dict[Like, HeartbeatHead], raw: Like, head: HeartbeatHead) -> None:
    if len(heads) >= HEADS:
        del heads[next(iter(heads))]
    heads[raw] = head


class _NoEvent:
    """A stand-in for the event on which apps wait for a body in uvicorn; nobody waits here."""

    def set(self) -> None:
        pass


class HeartbeatCycle:
    """A heartbeat under way, with the attributes that uvicorn's protocol expects of a request's cycle."""

    message_event = _NoEvent()
    response_started = False
    # Defaults on the class, because there is an instance per heartbeat and few of them are ever set.
    body = b""
    more_body = True
    keep_alive = True
    disconnected = False
    response_complete = False

    def __init__(self, head: HeartbeatHead) -> None:
        self.head = head


def close_after_answers() -> None:
    """From now on every answer to a heartbeat closes its connection, because this process shuts down.

    Changes the default on the class: a check in every heartbeat would cost more.
    """
    HeartbeatCycle.keep_alive = False

"""An ordinary heartbeat on one connection: what its head says, and its state until it is answered.

Used by server.fast_path.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self, TypeVar

from ..store.redis.resp import new_tuple
from ..web.origins import Origins
from ..web.paths import HEARTBEAT, ID, matcher

# The course's id as model.ID_PATTERN has it, unescaped; whatever differs is the ASGI app's to judge.
PATH = re.compile(matcher(HEARTBEAT, ID).pattern.encode())
# A request with any of these is not ordinary.
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
# What a token is made of (RFC 6750): nothing that could end its line, or be read in another way.
TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="


Like = TypeVar("Like", bytes, tuple[bytes, bytes])


class HeartbeatHead(NamedTuple):
    """What the head of an ordinary heartbeat says."""

    course_id: str
    authorization: bytes | None
    origin: bytes | None
    length: int

    @classmethod
    def read(
        cls, url: bytes, pairs: list[tuple[bytes, bytes]], body_limit: int, origins: Origins
    ) -> Self | None:
        """What a POST's path and headers say, when they are an ordinary heartbeat's."""
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

    def find(self, raw: bytes) -> HeartbeatHead | None:
        """What this head says, if its like was read before."""
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
    """A head up to its bearer token's scheme, the token, and what is behind its line."""
    before, _, rest = raw.partition(BEARER)
    token, _, behind = rest.partition(b"\r")
    return before, token, behind


def _keep(heads: dict[Like, HeartbeatHead], raw: Like, head: HeartbeatHead) -> None:
    if len(heads) >= HEADS:
        del heads[next(iter(heads))]
    heads[raw] = head


class _NoEvent:
    """Stands where uvicorn keeps an event for an app that waits for a body: nobody waits here."""

    def set(self) -> None:
        pass


class HeartbeatCycle:
    """A heartbeat under way; has what uvicorn's protocol asks of a request's cycle."""

    message_event = _NoEvent()
    response_started = False
    # How each begins: few are ever set on one of them, and there is one for every heartbeat.
    body = b""
    more_body = True
    keep_alive = True
    disconnected = False
    response_complete = False

    def __init__(self, head: HeartbeatHead) -> None:
        self.head = head


def close_after_answers() -> None:
    """From now on each heartbeat's answer ends its connection: this process is on its way out.

    Said of all at once, since a look at every heartbeat would cost more than it is worth.
    """
    HeartbeatCycle.keep_alive = False

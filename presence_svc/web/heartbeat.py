"""Handles a heartbeat for both paths: from path, headers and body to a reply that is the same to the byte.

web.dispatch (any ASGI server) and server.fast_path (straight from uvicorn's parser) call it, so that
validation, identity, limits, metrics and CORS cannot differ between them. It never awaits anything itself.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Awaitable
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import orjson
from starlette.types import Message, Receive, Scope, Send

from ..auth.caller import Caller
from ..auth.rates import Pace
from ..auth.token_bucket import OverRate
from ..errors import PresenceError
from ..model import Heartbeat
from ..settings import Settings
from ..store.redis.resp import new_tuple
from ..store.write import HeartbeatResult, HeartbeatWrite
from . import body
from .heartbeat_cache import CachedHeartbeat, HeartbeatCache, split_seq
from .origins import Cors, Origins
from .problems import BUG, MEDIA_TYPE, headers_of, problem
from .services import Services

log = logging.getLogger("presence.web")
Header = tuple[bytes, bytes]
ROUTE = "heartbeat"
ORIGINS_CACHED = 1024
OK_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class RawResponse(NamedTuple):
    """A whole response; the sender adds content-length as the last header."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


Admitted = tuple[CachedHeartbeat, bytes]  # a heartbeat that may be recorded, and its RESP-encoded seq


class HeartbeatHandler:
    """One per process; `service` is set when the app starts."""

    service: Services

    def __init__(self, settings: Settings) -> None:
        self._cors = Cors(_silent, settings.cors_origins)
        self.cors_headers = lru_cache(ORIGINS_CACHED)(self._cors_headers)
        self._ok_headers = lru_cache(ORIGINS_CACHED)(lambda origin: OK_HEADERS + self.cors_headers(origin))
        self.origins = Origins(settings.cors_origins)
        self.body_limit, self.body_deadline_s = settings.body_limit, settings.request_deadline
        self.interval_ms = settings.heartbeat_interval * 1000
        self._cache = HeartbeatCache(settings.heartbeat_cache_limit)
        self._secret = b""
        # Tokens are not kept, not even as keys. sha256 takes half the time of blake2b; digests stay in here.
        self._salted = sha256(secrets.token_bytes(64))
        self._asks = settings.auth == "jwt"

    def admit(
        self, authorization: bytes | None, peer: str, course_id: str, content: bytes
    ) -> Admitted | Awaitable[Admitted]:
        """Admits a heartbeat, at once or after fetching the issuer's keys. Raises a PresenceError."""
        service = self.service
        admission = service.admission
        if authorization is None or not self._asks:
            digest = b""
        else:  # inlined, because this is the hottest path
            salted = self._salted.copy()
            salted.update(authorization)
            digest = salted.digest()
        key, seq = split_seq(digest, course_id, content)
        if service.leave_tokens.secret is not self._secret:
            self.cache()
        cached = self._cache.get(key)
        if cached is not None and admission.again(cached.caller, cached.pace):
            return cached, seq
        heartbeat = body.validate(Heartbeat, body.parse(content, self.service.metrics))
        write = admission.admit(authorization, peer, course_id, heartbeat)
        if not isinstance(write, HeartbeatWrite):
            return self._admit_later(write)
        cached = self.prepare(write, admission.caller_of(authorization), admission.pace_of(write))
        self._cache.remember(key, content, cached)
        return cached, write.seq

    def cache(self) -> HeartbeatCache:
        """The cache; it is cleared when the secret changes from which its leave tokens were made."""
        secret = self.service.leave_tokens.secret
        if secret is not self._secret:
            self._secret = secret
            self._cache.clear()
        return self._cache

    async def _admit_later(self, admitted: Awaitable[HeartbeatWrite]) -> Admitted:
        write = await admitted
        return self.prepare(write), write.seq

    def prepare(
        self, write: HeartbeatWrite, caller: Caller | None = None, pace: Pace | None = None
    ) -> CachedHeartbeat:
        """A write together with its prepared reply; it is cached only if it has a caller."""
        service = self.service
        pseudonym = service.public_rosters.alias(write.course_id, write.viewer_id)
        return CachedHeartbeat(write, service.leave_tokens, caller=caller, pace=pace, pseudonym=pseudonym)

    def recorded(self, cached: CachedHeartbeat, result: HeartbeatResult, origin: bytes | None) -> RawResponse:
        """The answer to a recorded heartbeat."""
        self.service.metrics.answered(ROUTE, 200)
        return new_tuple(RawResponse, (200, self._ok_headers(origin), cached.reply(result, self.interval_ms)))

    def failed(self, error: PresenceError, origin: bytes | None) -> RawResponse:
        headers = [(name.encode(), value.encode()) for name, value in headers_of(error).items()]
        headers.append((b"content-type", MEDIA_TYPE.encode()))
        self.service.metrics.answered(ROUTE, error.status)
        if isinstance(error, OverRate):
            self.service.metrics.over_rate(error.policy)
        return RawResponse(error.status, (*headers, *self.cors_headers(origin)), orjson.dumps(problem(error)))

    def broken(self, origin: bytes | None) -> RawResponse:
        """The answer to a bug, called from its exception handler: the traceback goes to the log only."""
        log.exception("a heartbeat failed")
        self.service.metrics.answered(ROUTE, 500)
        headers = ((b"content-type", MEDIA_TYPE.encode()), *self.cors_headers(origin))
        return RawResponse(500, headers, orjson.dumps(BUG))

    def _cors_headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """The headers that the CORS middleware adds for this origin, found by running it once."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [] if origin is None else [(b"origin", origin)]
        scope = {"type": "http", "method": "POST", "headers": headers}
        request = self._cors(scope, _no_body, send)
        with contextlib.suppress(StopIteration):
            request.send(None)
        return tuple((bytes(name), bytes(value)) for name, value in sent[0]["headers"])


async def _silent(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def _no_body() -> Message:
    return {"type": "http.disconnect"}

"""What every lane does with a heartbeat: from a path, headers and a body to a reply, byte for byte the same.

web.door (any ASGI server) and web.express (straight from uvicorn's parser) call it, so that validation,
identity, limits, metrics and CORS cannot differ between them. It waits for nothing itself.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send

from ..errors import PresenceError
from ..model import Heartbeat
from ..settings import Settings
from ..store.batch import Beat, Recorded
from . import body
from .problems import MEDIA_TYPE, headers_of, problem
from .service import Service

Header = tuple[bytes, bytes]
ROUTE = "heartbeat"
ORIGINS_CACHED = 1024
OK_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class Reply(NamedTuple):
    """A whole response; whoever sends it adds the content-length as the last header."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


class Lane:
    """One per process; `service` is set when the app has started."""

    service: Service

    def __init__(self, settings: Settings) -> None:
        self._cors = CORSMiddleware(_silent, **cors_options(settings))
        self.cors_headers = lru_cache(ORIGINS_CACHED)(self._cors_headers)
        self.body_limit = settings.body_limit

    def admit(
        self, authorization: bytes | None, peer: str, course_id: str, content: bytes
    ) -> Beat | Awaitable[Beat]:
        """A heartbeat that may be recorded, at once or once something is fetched. Raises what is wrong."""
        said = body.validate(Heartbeat, body.parse(content))
        return self.service.gate.admit(authorization, peer, course_id, said)

    def recorded(self, beat: Beat, recorded: Recorded, origin: bytes | None) -> Reply:
        return self._reply(200, OK_HEADERS, self.answer(beat, recorded), origin)

    def failed(self, error: PresenceError, origin: bytes | None) -> Reply:
        headers = [(name.encode(), value.encode()) for name, value in headers_of(error).items()]
        headers.append((b"content-type", MEDIA_TYPE.encode()))
        return self._reply(error.status, tuple(headers), orjson.dumps(problem(error)), origin)

    def _reply(self, status: int, headers: tuple[Header, ...], content: bytes, origin: bytes | None) -> Reply:
        self.service.metrics.answered(ROUTE, status)
        return Reply(status, headers + self.cors_headers(origin), content)

    def answer(self, beat: Beat, recorded: Recorded) -> bytes:
        """The reply's body. The next is due in HEARTBEAT_INTERVAL less 10 to 20 %: no crowd beats in step."""
        course_id, viewer_id, session_id = beat.course_id, beat.viewer_id, beat.said.session_id
        wish_ms = self.service.settings.heartbeat_interval * (900 - 100 * random.random())
        token = self.service.leave_tokens.make(course_id, viewer_id, session_id)
        # Ids hold nothing that JSON would escape (model.ID_PATTERN): the hottest path needs no encoder.
        return (
            f'{{"course_id":"{course_id}","viewer_id":"{viewer_id}","session_id":"{session_id}",'
            f'"total":{recorded.total},"expires_at":{recorded.expires_at},'
            f'"next_heartbeat_ms":{wish_ms:.0f},"leave_token":"{token}"}}'
        ).encode()

    def _cors_headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """What Starlette's middleware adds for this origin: asked once, by a request that awaits nothing."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [] if origin is None else [(b"origin", origin)]
        scope = {"type": "http", "method": "POST", "headers": headers}
        request = self._cors(scope, _no_body, send)
        with contextlib.suppress(StopIteration):
            request.send(None)
        return tuple((bytes(name), bytes(value)) for name, value in sent[0]["headers"])


def cors_options(settings: Settings) -> dict[str, Any]:
    """No credentials are ever used: a token travels in a header that no browser adds by itself."""
    return {
        "allow_origins": settings.cors_origins,
        "allow_methods": ["GET", "POST", "DELETE"],
        "allow_headers": ["Authorization", "Content-Type", "If-None-Match"],
        "expose_headers": ["ETag", "Retry-After", "RateLimit", "RateLimit-Policy"],
        "max_age": 86_400,
    }


async def _silent(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def _no_body() -> Message:
    return {"type": "http.disconnect"}

"""The outermost ASGI app: heartbeats and WebSockets go straight where they belong, all else to Starlette.

On any ASGI server; `serve` answers most heartbeats even earlier (server.fast_path).
"""

from __future__ import annotations

import re
from time import perf_counter

from starlette.types import Receive, Scope, Send

from ..errors import PresenceError
from . import body
from .access_log import AccessLog
from .heartbeat import HeartbeatHandler, RawResponse
from .ws.endpoint import CourseSocket

HEARTBEAT = re.compile(r"/v1/courses/([^/]+)/heartbeat\Z")
SOCKET = re.compile(r"/v1/courses/([^/]+)/ws\Z")


class Dispatch:
    """Heartbeats go to `handler`, WebSockets to `sockets`; `app` gets the rest, and the lifespan.

    An open socket waits in all that it has come through: so it comes through this alone.
    """

    def __init__(self, app: AccessLog, handler: HeartbeatHandler) -> None:
        self.app = app
        self.handler = handler
        self.sockets = CourseSocket(handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = HEARTBEAT.match(_path(scope))
            if path:
                await self._heartbeat(path[1], scope, receive, send)
                return
        elif scope["type"] == "websocket":
            path = SOCKET.match(_path(scope))
            if path:
                await self.sockets(path[1], scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _heartbeat(self, course_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        reply = await self._reply(course_id, body.headers(scope), scope.get("client"), receive)
        headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
        if reply.status == 500:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        if self.app.sample:
            self.app.log(scope, reply.status, began)

    async def _reply(
        self, course_id: str, fields: dict[bytes, bytes], client: tuple[str, int] | None, receive: Receive
    ) -> RawResponse:
        origin, peer = fields.get(b"origin"), client[0] if client else ""
        try:
            self.handler.origins.check(fields)
            body.checked_id(course_id, "/course_id")
            handler = self.handler
            content = await body.read_fields(
                fields, receive, cap=handler.body_limit, deadline_s=handler.body_deadline_s
            )
            admitted = handler.admit(fields.get(b"authorization"), peer, course_id, content)
            cached, seq = admitted if isinstance(admitted, tuple) else await admitted
            return handler.recorded(
                cached, await handler.service.presence.heartbeat(cached.write, seq), origin
            )
        except PresenceError as error:
            return self.handler.failed(error, origin)
        except Exception:
            return self.handler.broken(origin)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))

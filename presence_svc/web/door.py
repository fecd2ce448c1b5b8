"""The outermost ASGI app: heartbeats go straight to their lane, everything else to Starlette.

On any ASGI server; `serve` answers most heartbeats even earlier (web.express).
"""

from __future__ import annotations

import re

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from ..errors import PresenceError
from ..store.batch import Beat
from . import body
from .lane import Lane, Reply
from .routes import credentials

HEARTBEAT = re.compile(r"/v1/courses/([^/]+)/heartbeat\Z")


class Door:
    """`lane` gets POSTs of heartbeats; `app` gets the rest, and the lifespan."""

    def __init__(self, app: Starlette, lane: Lane) -> None:
        self.app = app
        self.lane = lane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = HEARTBEAT.match(scope["path"].removeprefix(scope.get("root_path", "")))
            if path:
                reply = await self._heartbeat(path[1], scope, receive)
                headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
                await send({"type": "http.response.start", "status": reply.status, "headers": headers})
                await send({"type": "http.response.body", "body": reply.body})
                return
        await self.app(scope, receive, send)

    async def _heartbeat(self, course_id: str, scope: Scope, receive: Receive) -> Reply:
        origin = body.header(scope, b"origin")
        try:
            body.checked_id(course_id, "/course_id")
            content = await body.read(scope, receive, cap=self.lane.body_limit)
            admitted = self.lane.admit(*credentials(scope), course_id, content)
            beat = admitted if isinstance(admitted, Beat) else await admitted
            return self.lane.recorded(beat, await self.lane.service.presence.heartbeat(beat), origin)
        except PresenceError as error:
            return self.lane.failed(error, origin)

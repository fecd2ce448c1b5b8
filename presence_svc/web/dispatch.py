"""The outermost ASGI app: heartbeats and WebSockets go straight to their endpoints, the rest to Starlette.

This bypasses the access log and the router, on any ASGI server. `serve` answers most heartbeats even earlier
(server.fast_path).
"""

from __future__ import annotations

from time import perf_counter

from starlette.types import Receive, Scope, Send

from .access_log import AccessLog
from .api.heartbeats import answer
from .heartbeat import HeartbeatHandler
from .paths import HEARTBEAT, SOCKET, matcher
from .root_path import below, is_bare, redirect
from .ws.endpoint import CourseSocket

HEARTBEAT_PATH = matcher(HEARTBEAT)
SOCKET_PATH = matcher(SOCKET)


class Dispatch:
    """Heartbeats go to `handler`, WebSockets to `sockets`; `app` gets the rest, and the lifespan.

    Every layer that a socket passes keeps a coroutine waiting while it is open, so it passes only this one.
    """

    def __init__(self, app: AccessLog, handler: HeartbeatHandler, root_path: str = "") -> None:
        self.app = app
        self.handler = handler
        self._root = root_path
        self.sockets = CourseSocket(handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._root and scope["type"] != "lifespan":
            if is_bare(scope, self._root):
                await redirect(self._root, send)
                return
            scope = below(scope, self._root)
        if scope["type"] == "http" and scope["method"] == "POST":
            path = HEARTBEAT_PATH.match(_path(scope))
            if path:
                began = perf_counter()
                status = await answer(self.handler, path[1], scope, receive, send)
                if self.app.sample:
                    self.app.log(scope, status, began)
                return
        elif scope["type"] == "websocket":
            path = SOCKET_PATH.match(_path(scope))
            await (
                self.sockets(path[1], scope, receive, send)
                if path
                else self.sockets.absent(scope, receive, send)
            )
            return
        await self.app(scope, receive, send)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))

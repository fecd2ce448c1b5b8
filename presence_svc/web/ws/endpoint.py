"""`GET /v1/courses/{course_id}/ws`: admits WebSockets; web.ws.join and web.ws.session serve them.

Refuses with an HTTP answer before the handshake (foreign pages, too many streams), and after it with a
message and the close code 4000 + HTTP status (a join that is invalid, not allowed or late).
"""

from __future__ import annotations

import contextlib

from starlette.requests import HTTPConnection, Request
from starlette.types import Receive, Scope, Send

from ...errors import NotFound, PresenceError, UpgradeRequired
from .. import body
from ..heartbeat import HeartbeatHandler
from ..request import credentials
from ..selection import of_query
from ..services import Services
from .join import JoiningSocket
from .session import SocketSession
from .socket import STATUS, Gone, Socket


class CourseSocket:
    """Sockets that have not joined yet count towards the limits too, so that nobody can open too many."""

    def __init__(self, handler: HeartbeatHandler) -> None:
        self._handler = handler

    async def __call__(self, course_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._handler.service
        socket = Socket(scope, receive, send, service.settings, service.metrics)
        try:
            joining = self._joining(service, socket, course_id, scope)
            service.capacity.take()
        except PresenceError as error:
            await self._refuse(socket, error)
            return
        try:
            await self._receive(joining)
        except Gone:
            pass
        finally:
            joining.count_out()
            service.capacity.give_back()

    async def absent(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a WebSocket on any other path."""
        service = self._handler.service
        socket = Socket(scope, receive, send, service.settings, service.metrics)
        await self._refuse(socket, NotFound("there is no WebSocket at this path"))

    def _joining(self, service: Services, socket: Socket, course_id: str, scope: Scope) -> JoiningSocket:
        body.checked_id(course_id, "/course_id")
        self._handler.origins.check(body.headers(scope))
        wanted = of_query(HTTPConnection(scope), (course_id,))
        return JoiningSocket(service, self._handler, socket, wanted, *credentials(scope))

    async def _refuse(self, socket: Socket, error: PresenceError) -> None:
        self._handler.service.metrics.answered(type(self).__name__, error.status)
        await socket.refuse(error)

    async def _receive(self, joining: JoiningSocket) -> None:
        try:
            await joining.reserve()
        except PresenceError as error:
            await self._refuse(joining.socket, error)
            return
        joining.service.metrics.answered(type(self).__name__, 101)
        try:
            await joining.socket.accept()
            joined = await joining.join()
        except PresenceError as error:
            with contextlib.suppress(Gone):
                await joining.socket.complain(error)
            await joining.socket.close(STATUS + error.status)
            return
        await SocketSession(joining, joined).stay()


async def upgrade(request: Request) -> None:
    """The same path by plain HTTP: answers that an upgrade is needed."""
    raise UpgradeRequired("this is a WebSocket: connect with ws:// or wss://")

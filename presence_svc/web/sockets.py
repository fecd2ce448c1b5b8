"""`GET /v1/courses/{course_id}/ws`: the door of WebSockets. What happens behind it is a visit.

Refuses with an HTTP answer before the handshake (foreign pages, too many streams), and after it with a
message and the closing code 4000 + HTTP status (a join that is wrong, not allowed, late).
"""

from __future__ import annotations

import contextlib

from starlette.requests import HTTPConnection, Request
from starlette.types import Receive, Scope, Send

from ..errors import PresenceError, UpgradeRequired
from ..live.hub import MAX_VIEWERS
from . import body
from .guest import Guest
from .lane import Lane
from .routes import credentials, whole
from .service import Service
from .socket import STATUS, Gone, Socket
from .visit import Visit


class CourseSocket:
    """Sockets that have not joined yet have places too, so that nobody can pile them up."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def __call__(self, course_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._lane.service
        socket = Socket(scope, receive, send, service.settings)
        try:
            guest = self._guest(service, socket, course_id, scope)
            service.places.take()
        except PresenceError as error:
            await self._refuse(socket, error)
            return
        try:
            await self._receive(guest)
        except Gone:
            pass
        finally:
            guest.count_out()
            service.places.give_back()

    def _guest(self, service: Service, socket: Socket, course_id: str, scope: Scope) -> Guest:
        body.checked_id(course_id, "/course_id")
        self._lane.origins.check(body.headers(scope))
        viewers = whole(HTTPConnection(scope), "viewers", 0, 0, MAX_VIEWERS)
        return Guest(service, self._lane, socket, course_id, viewers, *credentials(scope))

    async def _refuse(self, socket: Socket, error: PresenceError) -> None:
        self._lane.service.metrics.answered(type(self).__name__, error.status)
        await socket.refuse(error)

    async def _receive(self, guest: Guest) -> None:
        try:
            await guest.knock()
        except PresenceError as error:
            await self._refuse(guest.socket, error)
            return
        guest.service.metrics.answered(type(self).__name__, 101)
        try:
            await guest.socket.accept()
            joined = await guest.join()
        except PresenceError as error:
            with contextlib.suppress(Gone):
                await guest.socket.complain(error)
            await guest.socket.close(STATUS + error.status)
            return
        await Visit(guest, joined).stay()


async def upgrade(request: Request) -> None:
    """The same path by plain HTTP: says what is missing."""
    raise UpgradeRequired("this is a WebSocket: connect with ws:// or wss://")

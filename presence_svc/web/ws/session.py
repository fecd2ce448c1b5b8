"""A viewer's session over a WebSocket: present while it is open, and informed of changes, without heartbeats.

Made by web.ws.endpoint once a socket has joined. live.renewer renews the lease. Closing the socket is a soft
leave, because the viewer may be back in a moment, on any replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from ...errors import Invalid, PresenceError
from ...live.frame import retry_ms
from ...live.listener import Listener
from ...model import Leave
from ...store.write import LeaveWrite, pack_seq
from .. import body
from ..sse.stream import term
from .join import Joined, JoiningSocket
from .message import Move, Visibility
from .socket import DONE, GOING_AWAY, STATUS, Gone

log = logging.getLogger("presence.socket")
FOREVER_S = 3600.0


class SocketSession:
    """One viewer's session in one course, for as long as their socket is open."""

    def __init__(self, joining: JoiningSocket, joined: Joined) -> None:
        self._joining, self._joined = joining, joined
        self._service, self._socket = joining.service, joining.socket
        self._heartbeat = joined.heartbeat
        self._listener = Listener((), 0)
        self._held = joining.service.renewer.hold(
            joined.write, pack_seq(joined.seq), self._on_left, lambda: self._listener.close()
        )
        self._has_left = False
        self._is_over = False  # no leave needs to be recorded any more

    async def stay(self) -> None:
        """Serves the session until either side ends it."""
        service = self._service
        service.metrics.streams.inc()
        try:
            await self._socket.send(self._joined.reply)
            wanted = self._joined.wanted
            self._listener = service.hub.attach(
                wanted.courses, wanted.viewers, chapters=wanted.chapters, is_steady=wanted.is_steady
            )
            telling = asyncio.get_running_loop().create_task(self._tell())
            try:
                await self._hear()
            finally:
                telling.cancel()
        finally:
            service.renewer.release(self._held)
            service.hub.detach(self._listener)
            service.metrics.streams.dec()
            await self._leave_softly()

    async def _hear(self) -> None:
        """Handles the client's messages one by one: each is recorded before the next one is read."""
        while True:
            try:
                await self._obey(await self._socket.receive())
            except PresenceError as error:
                await self._socket.complain(error)

    async def _obey(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "chapter":
                await self._change(chapter_id=body.validate(Move, message).chapter_id)
            case "hidden":
                await self._change(hidden=body.validate(Visibility, message).hidden)
            case "leave":
                await self._leave(soft=False)
                self._is_over = True
                await self._socket.close()
                raise Gone
            case _:
                raise Invalid([("/type", "must be chapter, hidden or leave")])

    async def _change(self, **update: Any) -> None:
        """Records a change at once, and uses it for renewals, unless it is refused."""
        heartbeat = self._heartbeat.model_copy(update=update)
        before, self._held.write = self._held.write, await self._joining.admitted(heartbeat)
        try:
            await self._service.presence.heartbeat(self._held.write, self._held.seq)
        except PresenceError:
            self._held.write = before
            raise
        self._heartbeat = heartbeat

    def _on_left(self) -> None:
        """Another request has ended the session: an eviction, or a leave by HTTP."""
        self._has_left = True
        self._listener.close()

    async def _tell(self) -> None:
        """Sends frames until something ends the session, and then closes the socket."""
        code = DONE
        try:
            code = await self._send_frames()
        except Gone:
            pass
        except Exception:
            log.exception("a socket failed")
        finally:
            await self._socket.close(code)

    async def _send_frames(self) -> int:
        """Returns the close code. After `bye` the client should come back; its viewer has not left."""
        loop, socket, listener = asyncio.get_running_loop(), self._socket, self._listener
        ends_at, expires_at = term(self._service.settings, self._joined.caller)
        while True:
            ends_in = min(ends_at, expires_at) - loop.time()
            for frame in await listener.frames(min(ends_in, FOREVER_S)):
                await socket.send(frame.message)
            if self._has_left:
                self._is_over = True
                await socket.tell("left")
                return DONE
            if loop.time() >= expires_at:
                await socket.tell("reauth")
                return STATUS + 401
            if listener.closing or loop.time() >= ends_at:
                self._is_over = True
                await socket.tell("bye", retry_ms=retry_ms())
                return GOING_AWAY

    async def _leave_softly(self) -> None:
        """Does nothing when this replica shuts down: its viewers reconnect before their leases end."""
        if not self._is_over and not self._service.hub.closing:
            with contextlib.suppress(PresenceError):
                await self._leave(soft=True)

    async def _leave(self, *, soft: bool) -> None:
        joined = self._joined
        leave = Leave(session_id=joined.heartbeat.session_id, seq=joined.seq, soft=soft)
        await self._service.presence.leave(LeaveWrite(joined.write.course_id, joined.write.viewer_id, leave))

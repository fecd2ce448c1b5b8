"""A WebSocket until its viewer has joined: the first message, the viewer's identity, what they may see.

Made by web.ws.endpoint, passed on to web.ws.session. Refuses what a heartbeat or a stream would refuse.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple

from ...auth.caller import PUBLIC, Caller, Role
from ...auth.roles import Action
from ...errors import Invalid, PresenceError, TooSlow
from ...live.frame import message
from ...model import Heartbeat
from ...store.write import NEWEST, HeartbeatResult, HeartbeatWrite
from .. import body
from ..heartbeat import HeartbeatHandler
from ..selection import Wanted, of
from ..services import Services
from .message import Join
from .socket import Socket


class Joined(NamedTuple):
    """The caller, their heartbeat as given and as written, its seq, the reply, and what they are shown."""

    caller: Caller
    heartbeat: Heartbeat
    write: HeartbeatWrite
    seq: int
    reply: str
    wanted: Wanted


class JoiningSocket:
    """One socket in one course. `authorization` is the handshake's header, until the join has a token;
    `wanted` is what the query asks for, which the join may override.
    """

    def __init__(
        self,
        service: Services,
        handler: HeartbeatHandler,
        socket: Socket,
        wanted: Wanted,
        authorization: bytes | None,
        peer: str,
    ) -> None:
        self.service, self.socket, self.course_id = service, socket, wanted.courses[0]
        self._handler, self._authorization, self._peer = handler, authorization, peer
        self._wanted = wanted
        self._counted: str | None = None
        self.count_out: Callable[[], None] = lambda: None

    async def reserve(self) -> None:
        """Counts the socket as the viewer's if the handshake has a token, else as their address's.

        Raises Limited.
        """
        try:
            caller = await self._caller()
        except PresenceError:
            caller = PUBLIC  # the join may have a valid token
        self._count_in(caller)

    def _count_in(self, caller: Caller) -> None:
        """Counts the socket as the caller's, and no longer as that of whom it was counted for before."""
        if (
            self.service.admission.tokens is None
            or caller.role is Role.SERVICE
            or caller.subject == self._counted
        ):
            return
        count_out = self.service.rates.open_stream(caller.subject, self._peer)
        self.count_out()
        self.count_out, self._counted = count_out, caller.subject

    async def join(self) -> Joined:
        """Waits for the first message and records the viewer. Raises a PresenceError, or Gone."""
        try:
            async with asyncio.timeout(self.service.settings.request_deadline):
                first = await self.socket.receive()
        except TimeoutError:
            raise TooSlow("no join arrived in time") from None
        if first.get("type") != "join":
            raise Invalid([("/type", "must be join in the first message")])
        join = body.validate(Join, first)
        if first.get("session_id") is None:  # without an id every socket is a session of its own
            join = join.model_copy(update={"session_id": f"ws-{secrets.token_hex(12)}"})
        self._wanted = _wanted(join, self._wanted)
        if join.token:
            self._authorization = b"Bearer " + join.token.encode()
        return await self._recorded(join.model_copy(update={"token": None}))

    async def _recorded(self, join: Join) -> Joined:
        write = await self.admitted(join)
        caller = await self._caller()
        courses = await self._courses(caller, self._wanted.viewers)
        self._count_in(caller)
        cached = self._handler.prepare(write)
        seq = NEWEST if join.seq is None else write.seq
        result: HeartbeatResult = await self.service.presence.heartbeat(write, seq)
        if result.expires_at <= result.as_of:
            reason = "has left, or its viewer was removed: to join again, use a new session"
            raise Invalid([("/session_id", reason)])
        number = result.seq if join.seq is None else join.seq
        reply = message("joined", cached.reply(result, self._handler.interval_ms))
        return Joined(caller, join, write, number, reply, self._wanted._replace(courses=courses))

    async def admitted(self, heartbeat: Heartbeat) -> HeartbeatWrite:
        """Admits a heartbeat of this socket. Raises what admission raises."""
        admission = self.service.admission
        write = admission.admit(self._authorization, self._peer, self.course_id, heartbeat)
        return write if isinstance(write, HeartbeatWrite) else await write

    async def _caller(self) -> Caller:
        caller = self.service.admission.caller(self._authorization)
        return caller if isinstance(caller, Caller) else await caller

    async def _courses(self, caller: Caller, viewers: int) -> tuple[str, ...]:
        """The courses to watch, none if counts are not allowed. Raises if names are asked for in vain."""
        admission = self.service.admission
        if not viewers and not admission.permissions.may(caller, Action.COUNT):
            return ()
        action = Action.VIEWERS if viewers else Action.COUNT
        await admission.enter(self._authorization, self._peer, action, self.course_id)
        return (self.course_id,)


def _wanted(join: Join, asked: Wanted) -> Wanted:
    """What a join asks for; the query's values where it leaves something out."""
    fields = join.model_fields_set
    return asked._replace(
        viewers=join.viewers if "viewers" in fields else asked.viewers,
        chapters=of(join.chapters) if "chapters" in fields else asked.chapters,
        is_steady=join.order == "joined" if "order" in fields else asked.is_steady,
    )

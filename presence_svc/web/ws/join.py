"""A WebSocket until its viewer has joined: the first message, who it is, what they may see.

Made by web.ws.endpoint, handed on to web.ws.session. Refuses as a heartbeat and a stream would be refused.
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
    """Who has joined and with which words, the order of these (`seq`), the answer, and what they are told."""

    caller: Caller
    said: Heartbeat
    write: HeartbeatWrite
    seq: int
    reply: str
    wanted: Wanted


class JoiningSocket:
    """One socket in one course. `authorization` is the handshake's header, until the join brings a token;
    `wanted` is the query's, but for what the join says of it.
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
        """Takes a place: the viewer's whose token came with the handshake, else their address's.

        Raises Limited.
        """
        try:
            caller = await self._caller()
        except PresenceError:
            caller = PUBLIC  # the join may bring a better one
        self._count_in(caller)

    def _count_in(self, caller: Caller) -> None:
        """Takes a place among the caller's streams, and gives back what was taken before they were known."""
        if (
            self.service.admission.tokens is None
            or caller.role is Role.SERVICE
            or caller.subject == self._counted
        ):
            return
        place = self.service.rates.open_stream(caller.subject, self._peer)
        self.count_out()
        self.count_out, self._counted = place, caller.subject

    async def join(self) -> Joined:
        """Waits for the first message and records the viewer. Raises what is wrong with it, or Gone."""
        try:
            async with asyncio.timeout(self.service.settings.request_deadline):
                first = await self.socket.receive()
        except TimeoutError:
            raise TooSlow("no join came in time") from None
        if first.get("type") != "join":
            raise Invalid([("/type", "must be join in the first message")])
        said = body.validate(Join, first)
        if "session_id" not in said.model_fields_set:  # each socket is a tab, unless it says which
            said = said.model_copy(update={"session_id": f"ws-{secrets.token_hex(12)}"})
        self._wanted = _wanted(said, self._wanted)
        if said.token:
            self._authorization = b"Bearer " + said.token.encode()
        return await self._recorded(said.model_copy(update={"token": None}))

    async def _recorded(self, said: Join) -> Joined:
        write = await self.admitted(said)
        caller = await self._caller()
        courses = await self._courses(caller, self._wanted.viewers)
        self._count_in(caller)
        cached = self._handler.prepare(write)
        seq = NEWEST if said.seq is None else write.seq
        result: HeartbeatResult = await self.service.presence.heartbeat(write, seq)
        if result.expires_at <= result.as_of:
            reason = "has left, or its viewer was removed: who comes again needs a new session"
            raise Invalid([("/session_id", reason)])
        number = result.seq if said.seq is None else said.seq
        reply = message("joined", cached.reply(result, self._handler.interval_ms))
        return Joined(caller, said, write, number, reply, self._wanted._replace(courses=courses))

    async def admitted(self, said: Heartbeat) -> HeartbeatWrite:
        """What this socket says, as it may be recorded. Raises as a heartbeat's admission does."""
        admission = self.service.admission
        write = admission.admit(self._authorization, self._peer, self.course_id, said)
        return write if isinstance(write, HeartbeatWrite) else await write

    async def _caller(self) -> Caller:
        caller = self.service.admission.caller(self._authorization)
        return caller if isinstance(caller, Caller) else await caller

    async def _courses(self, caller: Caller, viewers: int) -> tuple[str, ...]:
        """What they may watch: names must be allowed where they are asked for, counts come if they are."""
        admission = self.service.admission
        if not viewers and not admission.permissions.may(caller, Action.COUNT):
            return ()
        action = Action.VIEWERS if viewers else Action.COUNT
        await admission.enter(self._authorization, self._peer, action, self.course_id)
        return (self.course_id,)


def _wanted(said: Join, asked: Wanted) -> Wanted:
    """What a join says is to be told; of what it leaves out, what the query asked for."""
    fields = said.model_fields_set
    return asked._replace(
        viewers=said.viewers if "viewers" in fields else asked.viewers,
        chapters=of(said.chapters) if "chapters" in fields else asked.chapters,
        is_steady=said.order == "joined" if "order" in fields else asked.is_steady,
    )

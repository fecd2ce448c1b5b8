"""One connection to one server: dials, enters, and exchanges commands for replies, one exchange at a time.

Used by pool and node. An asyncio protocol of our own with hiredis's reader: redis-py's way to send and to
read costs more than all else in an exchange. A wire with half an exchange on it is closed, never used again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from typing import Any, cast

from hiredis import ProtocolError, Reader

from .reply import NO_PONG, ReplyError
from .resp import packed_command
from .url import Access, Address

MISSING = object()
POLLS = 2  # turns of the loop after which what has come in meanwhile has been read, on every loop
LATE_S = 0.02  # a timer this late was held up by our own process
GRACE_S = 0.05


class Wire(asyncio.Protocol):
    """`is_ready` for an exchange: connected, and nothing of another one on it."""

    def __init__(self) -> None:
        self.is_ready = True
        self.used_at = 0.0  # kept by pool, as is the generation
        self.generation = self.turn = 0
        self.patient = False
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(protocolError=ProtocolError, replyError=ReplyError, notEnoughData=MISSING)
        self._answer: asyncio.Future[list[Any]] | None = None
        self._replies: list[Any] = []
        self._many = self._received = 0
        self._last_words: BaseException | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        plug = transport.get_extra_info("socket")
        if plug is not None and plug.family != socket.AF_UNIX:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def exchange(self, packed: bytes, many: int, deadline: float) -> Awaitable[list[Any]]:
        """As many replies, errors among them. Raises TimeoutError, OSError, ProtocolError."""
        self.is_ready = False
        self._transport.write(packed)
        self._replies, self._many, self._deadline = [], many, deadline
        self._answer = answer = self._loop.create_future()
        self._timer: asyncio.Handle = self._loop.call_at(deadline, self._expire)
        return answer

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        replies, gets = self._replies, self._reader.gets
        try:
            self._reader.feed(data)
            if self._answer is None:
                self._unasked(gets())
                return
            while len(replies) < self._many:
                reply = gets()
                if reply is MISSING:
                    return
                replies.append(reply)
        except ProtocolError as error:
            self._end(error)
            return
        if self._reader.has_data():
            self._end(ProtocolError("more replies than commands"))
            return
        self.is_ready = True
        self._end(None)

    def _unasked(self, reply: Any) -> None:
        """Nobody has asked: a server that turns us away says why, and closes."""
        self.is_ready = False
        if isinstance(reply, ReplyError):
            self._last_words = reply

    def _expire(self) -> None:
        """The deadline by our clock. When our own process was late for it, Redis gets a moment more."""
        if self._loop.time() - self._deadline > LATE_S:
            self._deadline = self._loop.time() + GRACE_S
            self._timer = self._loop.call_at(self._deadline, self._look, POLLS, self._received)
        else:
            self._look(POLLS, self._received)

    def _look(self, polls: int, received: int) -> None:
        """Gives up when the loop has read what lies in the socket: uvloop runs timers before it reads."""
        if polls == 0 and self._received > received and self._loop.time() < self._deadline + GRACE_S:
            polls, received = POLLS, self._received
        if polls:
            self._timer = self._loop.call_soon(self._look, polls - 1, received)
        else:
            self._end(TimeoutError())

    def _end(self, error: BaseException | None) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        self._timer.cancel()
        if answer.done():
            return
        if error is None:
            answer.set_result(self._replies)
        else:
            answer.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_ready = False
        self._end(self._last_words or ConnectionResetError("Redis has closed the connection"))

    def eof_received(self) -> bool | None:
        self.is_ready = False
        return None  # the transport closes

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """The connection is `protocol`'s from now on: to hear what nobody asks for."""
        self.is_ready = False
        self._transport.set_protocol(protocol)
        return self._transport

    def abort(self) -> None:
        """Whatever comes of an exchange on it, nobody reads it."""
        self.is_ready = False
        self._end(ConnectionAbortedError("given up"))
        self._transport.abort()


async def dial(address: Address, access: Access, *, timeout_s: float, turn: int = 0) -> Wire:
    """A wire that has entered. `turn`: the first of a name's addresses to try; its own: the one it took.

    Raises what `reply.LOST` lists; ReplyError when it is turned away.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    wire = await _reach(address, access, turn, deadline)
    try:
        async with asyncio.timeout_at(deadline):
            login = await access.login()
        await _enter(wire, access, login, deadline)
    except BaseException:
        wire.abort()
        raise
    return wire


async def _reach(address: Address, access: Access, turn: int, deadline: float) -> Wire:
    """One that is silent does not take the time of those behind it."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout_at(deadline):
        if address.path:
            return (await loop.create_unix_connection(Wire, address.path))[1]
        hosts = await address.hosts()
    tls = access.context()
    for at in range(turn, turn + len(hosts)):
        host, name = hosts[at % len(hosts)], address.host if tls else None
        try:
            async with asyncio.timeout((deadline - loop.time()) / (turn + len(hosts) - at)):
                _, wire = await loop.create_connection(
                    Wire, host, address.port, ssl=tls, server_hostname=name
                )
        except OSError as error:
            lost = error
            continue
        wire.turn = at
        return wire
    raise lost


async def _enter(wire: Wire, access: Access, login: tuple[str, ...], deadline: float) -> None:
    """Logs in and chooses the database; PING comes last, so that a server that turns us away has said so."""
    commands: list[tuple[str, ...]] = []
    if login:
        commands.append(("AUTH", *login))
    if access.db:
        commands.append(("SELECT", str(access.db)))
    needed = len(commands)
    if access.client_name:
        commands.append(("CLIENT", "SETNAME", access.client_name))
    commands.append(("PING",))
    if not wire.is_ready:
        raise wire._last_words or ConnectionResetError("Redis has closed the connection")
    replies = await wire.exchange(
        b"".join([packed_command(*command) for command in commands]), len(commands), deadline
    )
    for at, reply in enumerate(replies):
        # Without a name we can live, and who is not answered to PING may have all that we need.
        if isinstance(reply, ReplyError) and (at < needed or reply.code not in NO_PONG):
            raise reply
    wire.used_at = asyncio.get_running_loop().time()

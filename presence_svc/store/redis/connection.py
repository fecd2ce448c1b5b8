"""One connection to one server: dials, logs in, and runs one exchange of commands and replies at a time.

Used by pool and node. It is our own asyncio protocol around hiredis's reader, because sending and reading
through redis-py costs more than everything else in an exchange. A connection with half an exchange on it is
closed and never reused.
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
POLLS = 2  # after so many iterations every kind of event loop has read what had arrived before
LATE_S = 0.02  # a timer this late was held up by our own process
GRACE_S = 0.05


class Connection(asyncio.Protocol):
    """`is_ready`: connected, and no other exchange is under way on it."""

    def __init__(self) -> None:
        self.is_ready = True
        self.used_at = 0.0  # the pool maintains this and the generation
        self.generation = self.address_index = 0
        self.low_priority = False
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
        """Returns `many` replies; error replies are values. Raises TimeoutError, OSError, ProtocolError."""
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
        """A reply without a request: a server that rejects the connection says why before it closes."""
        self.is_ready = False
        if isinstance(reply, ReplyError):
            self._last_words = reply

    def _expire(self) -> None:
        """The deadline has passed. If our own process noticed that late, Redis gets a little more time."""
        if self._loop.time() - self._deadline > LATE_S:
            self._deadline = self._loop.time() + GRACE_S
            self._timer = self._loop.call_at(self._deadline, self._poll, POLLS, self._received)
        else:
            self._poll(POLLS, self._received)

    def _poll(self, polls: int, received: int) -> None:
        """Gives up only after the loop has read what is in the socket: uvloop runs timers before it reads."""
        if polls == 0 and self._received > received and self._loop.time() < self._deadline + GRACE_S:
            polls, received = POLLS, self._received
        if polls:
            self._timer = self._loop.call_soon(self._poll, polls - 1, received)
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
        """Hands the connection to another protocol, for subscriptions: their messages answer no request."""
        self.is_ready = False
        self._transport.set_protocol(protocol)
        return self._transport

    def abort(self) -> None:
        """Closes the connection and discards whatever its exchange would still have received."""
        self.is_ready = False
        self._end(ConnectionAbortedError("given up"))
        self._transport.abort()


async def dial(address: Address, access: Access, *, timeout_s: float, address_index: int = 0) -> Connection:
    """Opens a connection and logs in.

    `address_index` is the position of the first address to try among those that the host name resolves to;
    the connection's own `address_index` is the one that was used. Raises what `reply.LOST` lists, and
    ReplyError when the server rejects us.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    connection = await _reach(address, access, address_index, deadline)
    try:
        async with asyncio.timeout_at(deadline):
            login = await access.login()
        await _enter(connection, access, login, deadline)
    except BaseException:
        connection.abort()
        raise
    return connection


async def _reach(address: Address, access: Access, address_index: int, deadline: float) -> Connection:
    """Each address gets its share of the time, so that a silent one leaves enough for the others."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout_at(deadline):
        if address.path:
            return (await loop.create_unix_connection(Connection, address.path))[1]
        hosts = await address.hosts()
    tls = access.context()
    for at in range(address_index, address_index + len(hosts)):
        host, name = hosts[at % len(hosts)], address.host if tls else None
        try:
            async with asyncio.timeout((deadline - loop.time()) / (address_index + len(hosts) - at)):
                _, connection = await loop.create_connection(
                    Connection, host, address.port, ssl=tls, server_hostname=name
                )
        except OSError as error:
            lost = error
            continue
        connection.address_index = at
        return connection
    raise lost


async def _enter(connection: Connection, access: Access, login: tuple[str, ...], deadline: float) -> None:
    """Logs in and selects the database. PING comes last, so that a server that rejects us has said so."""
    commands: list[tuple[str, ...]] = []
    if login:
        commands.append(("AUTH", *login))
    if access.db:
        commands.append(("SELECT", str(access.db)))
    needed = len(commands)
    if access.client_name:
        commands.append(("CLIENT", "SETNAME", access.client_name))
    commands.append(("PING",))
    if not connection.is_ready:
        raise connection._last_words or ConnectionResetError("Redis has closed the connection")
    replies = await connection.exchange(
        b"".join([packed_command(*command) for command in commands]), len(commands), deadline
    )
    for at, reply in enumerate(replies):
        # The client name is optional, and a user without the right to PING may have all that serving needs.
        if isinstance(reply, ReplyError) and (at < needed or reply.code not in NO_PONG):
            raise reply
    connection.used_at = asyncio.get_running_loop().time()

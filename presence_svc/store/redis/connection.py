"""Exchanges with Redis as one write and one future, on connections that redis-py has opened.

Used by link. redis-py connects, logs in and does TLS, and its pool bounds the connections; its way
to send and to read costs more than all else that an exchange takes. So some are kept here, each with a
protocol of ours on its transport. A wire with half an exchange on it is closed and never used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from hiredis import Reader
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import InvalidResponse, RedisError, ResponseError

MISSING = object()


class Streamed:
    """A connection as redis-py reads and writes it: for a version of it that has no place for a Wire."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection
        self.is_ready = False  # back to the pool after every exchange

    async def exchange(self, packed: bytes, many: int, deadline: float) -> list[Any]:
        replies: list[Any] = []
        async with asyncio.timeout_at(deadline):
            await self.connection.send_packed_command(packed, check_health=False)
            for _ in range(many):
                try:
                    replies.append(await self.connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        return replies

    def restore(self) -> None:
        """Nothing of it was changed."""

    def abort(self) -> None:
        """redis-py closes it."""


class Wire(asyncio.Protocol):
    """One exchange at a time, on the transport of a connection; its streams get what is not ours."""

    def __init__(
        self, connection: AbstractConnection, transport: asyncio.Transport, parse_error: Any
    ) -> None:
        self.connection = connection
        self.is_ready = True  # for an exchange: connected, and nothing of another one on it
        self._transport = transport
        self._streams = cast(asyncio.Protocol, transport.get_protocol())
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(protocolError=InvalidResponse, replyError=parse_error, notEnoughData=MISSING)
        self._answer: asyncio.Future[list[Any]] | None = None
        self._replies: list[Any] = []
        self._many = 0
        transport.set_protocol(self)

    def exchange(self, packed: bytes, many: int, deadline: float) -> Awaitable[list[Any]]:
        """Sends, and gives as many replies, errors among them, as RESP2 has them."""
        self.is_ready = False
        self._transport.write(packed)
        self._replies, self._many = [], many
        self._answer = answer = self._loop.create_future()
        self._timer = self._loop.call_at(deadline, self._expire)
        return answer

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.is_ready = False  # nobody has asked: the pool will find it in the stream, and reconnect
            self._streams.data_received(data)
            return
        replies, gets = self._replies, self._reader.gets
        try:
            self._reader.feed(data)
            while len(replies) < self._many:
                reply = gets()
                if reply is MISSING:
                    return
                replies.append(reply)
        except InvalidResponse as error:
            self._end(error)
            return
        if self._reader.has_data():
            self._end(InvalidResponse("more replies than commands"))
            return
        for reply in replies:
            if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
                self._end(reply)  # it is loading, or wants a password: as good as away
                return
        self.is_ready = True
        self._end(None)

    def _expire(self) -> None:
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
        self._end(ConnectionResetError("Redis has closed the connection"))
        self._streams.connection_lost(exc)

    def eof_received(self) -> bool | None:
        self.is_ready = False
        self._end(ConnectionResetError("Redis has closed the connection"))
        return self._streams.eof_received()

    def pause_writing(self) -> None:
        self._streams.pause_writing()

    def resume_writing(self) -> None:
        self._streams.resume_writing()

    def restore(self) -> None:
        """Gives the transport back to the connection's streams."""
        self._transport.set_protocol(self._streams)

    def abort(self) -> None:
        """Whatever comes of this exchange, nobody reads it."""
        self.is_ready = False
        self._end(None)
        self._transport.abort()


def over(connection: AbstractConnection) -> Wire | Streamed:
    """A wire over an open connection; redis-py's own way where what we need of it has gone, or for RESP3."""
    transport: Any = getattr(getattr(connection, "_writer", None), "transport", None)
    parse_error = getattr(getattr(connection, "_parser", None), "parse_error", None)
    if hasattr(transport, "set_protocol") and callable(parse_error) and str(connection.protocol) == "2":
        return Wire(connection, transport, parse_error)
    return Streamed(connection)


class Wires:
    """A pool's connections as wires. Up to a quarter are kept from the pool while nobody waits for one."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._room = pool.max_connections // 4
        self._kept: list[Wire | Streamed] = []
        self._asking = 0

    async def take(self, deadline: float) -> Wire | Streamed:
        """A wire that is ready. Raises what connecting raises, and TimeoutError at the deadline."""
        if self._kept:
            wire = self._kept.pop()
            if wire.is_ready:
                return wire
            await self.drop(wire)
        self._asking += 1
        try:
            async with asyncio.timeout_at(deadline):
                return over(await self._pool.get_connection())  # type: ignore[no-untyped-call]
        finally:
            self._asking -= 1

    async def give(self, wire: Wire | Streamed) -> None:
        """Takes a wire back after an exchange that has come to its end."""
        if wire.is_ready and not self._asking and len(self._kept) < self._room:
            self._kept.append(wire)
            return
        wire.restore()
        await self._pool.release(wire.connection)

    async def drop(self, wire: Wire | Streamed) -> None:
        """Closes it: half an exchange is on it, or it has lost its Redis."""
        wire.abort()
        try:
            await wire.connection.disconnect(nowait=True)
        finally:
            await self._pool.release(wire.connection)

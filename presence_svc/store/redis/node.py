"""One Redis server: its connections, a deadline for every exchange, and a circuit breaker (health).

Used by link and cluster. It retries once if the connection was closed and the commands may run twice. Else
callers learn of a failure within their deadline, and at once while the server is known to be away. Delays in
this process or its queues do not open the breaker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from redis.asyncio import Redis

from ...errors import Away, Overloaded, Unavailable
from .connection import Connection, dial
from .health import Health
from .pool import PING, Pool
from .reply import LOST, TOO_MANY_CLIENTS, ReplyError
from .url import Access, Address

log = logging.getLogger("presence.redis")
DIAL_S = 1.0
POOL = 16
LONGEST_S = 0.45  # for a whole call, if dialling or an unknown script took part of its time
FULL = 0.9  # a missing reply opens the breaker if it was given at least this share of the timeout
CLIENT_POOL = 4  # connections of redis-py's client, for subscriptions


class NodeState(NamedTuple):
    """A server's current state; `exchanges` counts from the start of this process."""

    name: str
    is_up: bool
    exchanges: int


class Node:
    """`probe` is a packed command that shows whether the server accepts writes; it must change nothing."""

    def __init__(
        self,
        address: Address,
        access: Access,
        *,
        timeout_s: float,
        pool: int = POOL,
        probe: bytes = PING,
    ) -> None:
        self.address = address
        self.access = access
        self.timeout_s = timeout_s
        self._least_s = timeout_s / 3  # to answer in, however long the wait for a connection was
        self._dial_s = max(DIAL_S, 2 * timeout_s)
        self.on_exchange: Callable[[float], object] = lambda seconds: None
        self.on_failure: Callable[[], object] = lambda: None
        self._pool = Pool(self._dial, pool, self._lost)
        self.health = Health(self._pool, probe, timeout_s)
        self._client: Redis | None = None
        self.exchanges = 0
        self._heard = 0.0
        self.address_index = 0  # which of the addresses that its name resolves to is in use
        self._generation = 0
        self._refusal = ""

    async def _dial_once(self) -> Connection:
        address_index = self.address_index
        return await dial(self.address, self.access, timeout_s=self._dial_s, address_index=address_index)

    async def _dial(self, generation: int) -> Connection:
        """Dials; a new generation begins at the next address, because the last one led to a bad server."""
        if generation != self._generation:
            self._generation, self.address_index = generation, self.address_index + 1
        try:
            try:
                connection = await self._dial_once()
            except ConnectionResetError:  # closed during the login; a server that is down refuses
                connection = await self._dial_once()
        except ReplyError as error:
            self._note(str(error))
            raise
        self._note("")
        if generation == self._generation:
            self.address_index = connection.address_index
        return connection

    def _note(self, refusal: str) -> None:
        """Logs each reason once: open connections still work, so nothing else would show the problem."""
        if refusal and refusal != self._refusal:
            log.warning("redis refuses new connections: %s", refusal)
        self._refusal = refusal

    @property
    def away(self) -> bool:
        return self.health.away

    @property
    def state(self) -> NodeState:
        return NodeState(str(self.address), not self.health.away, self.exchanges)

    @property
    def client(self) -> Redis:
        """redis-py's client for the same server: for subscriptions and for tools, not for serving."""
        if self._client is None:
            self._client = self.access.client(self.address, timeout_s=self.timeout_s, pool=CLIENT_POOL)
        return self._client

    async def warm(self) -> None:
        """Waits until a connection is open, at most as long as a dial may take. Raises nothing."""
        with contextlib.suppress(Unavailable, *LOST):
            self._pool.give(await self._pool.take(asyncio.get_running_loop().time() + self._dial_s))

    async def close(self) -> None:
        await self.health.close()
        await self._pool.close()
        if self._client is not None:
            await self._client.aclose()

    async def exchange(
        self,
        commands: Sequence[bytes],
        deadline: float,
        *,
        low_priority: bool = False,
        may_repeat: Callable[[], bool] = lambda: False,
    ) -> list[Any]:
        """Sends packed commands in one write and returns the replies in order; errors are ReplyError values.

        Raises Unavailable when no reply came: Away at once while the server is known to be away, Overloaded
        when our own callers hold all connections. `low_priority` waits behind others, and a slow reply to it
        does not mark the server as away. `may_repeat()` says after a reset if the commands may run twice.
        """
        if self.health.away:
            raise Away("Redis is away")
        began, loop = perf_counter(), asyncio.get_running_loop()
        sent = loop.time()
        connection = None if low_priority else self._pool.ready(sent)
        if connection is None:
            connection = await self._pool.take(deadline, low_priority=low_priority)
            sent = loop.time()
        packed = commands[0] if len(commands) == 1 else b"".join(commands)
        timeout_s = self.timeout_s
        longest = min(sent + timeout_s, deadline - timeout_s + LONGEST_S)
        until = max(deadline, sent + self._least_s, longest)
        try:
            replies = await connection.exchange(packed, len(commands), until)
        except LOST as error:
            # The rest of this exchange may still arrive: nobody may take it for the answer to another.
            self._pool.drop(connection)
            self.on_failure()
            is_full = until - sent >= FULL * timeout_s
            if isinstance(error, TimeoutError) and is_full and not low_priority and self._heard < sent:
                self.health.lose(error)
            if isinstance(error, ConnectionResetError) and loop.time() < deadline and may_repeat():
                return await self.exchange(commands, deadline, low_priority=low_priority)
            raise Unavailable("Redis does not answer") from error
        except BaseException:
            self._pool.drop(connection)
            raise
        for reply in replies:
            if type(reply) is ReplyError:
                self.health.judge(reply)
        self._pool.give(connection)
        self.exchanges += 1
        self._heard = connection.used_at
        took_s = self._pool.last_exchange_s = perf_counter() - began
        self.on_exchange(took_s)
        return replies

    def _lost(self, error: BaseException) -> None:
        """Called when no connection is open and none can be opened."""
        if not self.health.away:
            self.on_failure()
        if TOO_MANY_CLIENTS in str(error):
            self._pool.fail(Overloaded, "Redis accepts no more clients")
        self.health.lose(error)
        self._pool.fail(Away, "Redis is away")


async def ask(address: Address, access: Access, packed: bytes, timeout_s: float) -> Any:
    """Runs one command on its own connection. Raises OSError, TimeoutError, RedisError, ProtocolError."""
    connection = await dial(address, access, timeout_s=timeout_s)
    try:
        (reply,) = await connection.exchange(packed, 1, asyncio.get_running_loop().time() + timeout_s)
    finally:
        connection.abort()
    if isinstance(reply, ReplyError):
        raise reply
    return reply

"""One Redis server: its wires, a deadline on every exchange, and a breaker while it is away (health).

Used by link and cluster. Retries once, and only what a closed connection has cut off and may run twice. Else a
caller learns within its deadline that an exchange failed, and at once while the server is known to be away. A
late process or a crowd of ours is no absence of Redis.
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
from .health import Health
from .pool import PING, Pool
from .reply import LOST, TOO_MANY_CLIENTS, ReplyError
from .url import Access, Address
from .wire import Wire, dial

log = logging.getLogger("presence.redis")
DIAL_S = 1.0
POOL = 16
LONGEST_S = 0.45  # for all of a call, where dialling or an unknown script took a part of its deadline
FULL = 0.9  # of the deadline: who was given less and hears nothing says nothing of the server
CLIENT_POOL = 4  # connections of redis-py's: subscriptions


class NodeState(NamedTuple):
    """A server as it is now; `exchanges` since the start."""

    name: str
    is_up: bool
    exchanges: int


class Node:
    """`probe` is a packed command that tells whether it takes writes; it must change nothing."""

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
        self._least_s = timeout_s / 3  # for an answer, however long a wire was waited for
        self._dial_s = max(DIAL_S, 2 * timeout_s)
        self.on_exchange: Callable[[float], object] = lambda seconds: None
        self.on_failure: Callable[[], object] = lambda: None
        self._pool = Pool(self._dial, pool, self._lost)
        self.health = Health(self._pool, probe, timeout_s)
        self._client: Redis | None = None
        self.exchanges = 0
        self._heard = 0.0
        self.turn = 0  # which of the addresses behind its name it is
        self._generation = 0
        self._refusal = ""

    async def _dial(self, generation: int) -> Wire:
        """What the last generation of wires led to was no good: the name may have other addresses."""
        if generation != self._generation:
            self._generation, self.turn = generation, self.turn + 1
        try:
            try:
                wire = await dial(self.address, self.access, timeout_s=self._dial_s, turn=self.turn)
            except ConnectionResetError:  # cut off on its way in: who is not there refuses
                wire = await dial(self.address, self.access, timeout_s=self._dial_s, turn=self.turn)
        except ReplyError as error:
            self._note(str(error))
            raise
        self._note("")
        if generation == self._generation:
            self.turn = wire.turn
        return wire

    def _note(self, refusal: str) -> None:
        """One line for each: what is open works on, and nobody would know why there is no more of it."""
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
        """redis-py's client for the same server: for subscriptions, and for what is no part of serving."""
        if self._client is None:
            self._client = self.access.client(self.address, timeout_s=self.timeout_s, pool=CLIENT_POOL)
        return self._client

    async def warm(self) -> None:
        """Waits until a wire is open, at most for as long as a dial may take. Raises nothing."""
        with contextlib.suppress(Unavailable, *LOST):
            self._pool.give(await self._pool.take(asyncio.get_running_loop().time() + self._dial_s))

    async def close(self) -> None:
        await self.health.close()
        await self._pool.close()
        if self._client is not None:
            await self._client.aclose()

    async def exchange(
        self, commands: Sequence[bytes], deadline: float, *, patient: bool = False, may_retry: bool = False
    ) -> list[Any]:
        """Sends packed commands in one write, gives replies in order; error replies are ReplyError values.

        Raises Unavailable when nothing came: Away at once while the server is known to be away, Overloaded
        when our own callers hold all connections. `patient`: waits behind others, and says nothing of the
        server when it is slow. `may_retry`: it does no harm when all of it has run already.
        """
        if self.health.away:
            raise Away("Redis is away")
        began, loop = perf_counter(), asyncio.get_running_loop()
        sent = loop.time()
        wire = None if patient else self._pool.ready(sent)
        if wire is None:
            wire = await self._pool.take(deadline, patient=patient)
            sent = loop.time()
        packed = commands[0] if len(commands) == 1 else b"".join(commands)
        timeout_s = self.timeout_s
        longest = min(sent + timeout_s, deadline - timeout_s + LONGEST_S)
        until = max(deadline, sent + self._least_s, longest)
        try:
            replies = await wire.exchange(packed, len(commands), until)
        except LOST as error:
            # Half an exchange is on this wire: nobody may ever read the other half.
            self._pool.drop(wire)
            self.on_failure()
            is_full = until - sent >= FULL * timeout_s
            if isinstance(error, TimeoutError) and is_full and not patient and self._heard < sent:
                self.health.lose(error)
            if isinstance(error, ConnectionResetError) and may_retry and loop.time() < deadline:
                return await self.exchange(commands, deadline, patient=patient)
            raise Unavailable("Redis does not answer") from error
        except BaseException:
            self._pool.drop(wire)
            raise
        for reply in replies:
            if type(reply) is ReplyError:
                self.health.judge(reply)
        self._pool.give(wire)
        self.exchanges += 1
        self._heard = wire.used_at
        took_s = self._pool.took_s = perf_counter() - began
        self.on_exchange(took_s)
        return replies

    def _lost(self, error: BaseException) -> None:
        """No wire is open, and none can be opened."""
        if not self.health.away:
            self.on_failure()
        if TOO_MANY_CLIENTS in str(error):
            self._pool.fail(Overloaded, "Redis lets no more clients in")
        self.health.lose(error)
        self._pool.fail(Away, "Redis is away")


async def ask(address: Address, access: Access, packed: bytes, timeout_s: float) -> Any:
    """One command on a connection of its own. Raises OSError, TimeoutError, RedisError, ProtocolError."""
    wire = await dial(address, access, timeout_s=timeout_s)
    try:
        (reply,) = await wire.exchange(packed, 1, asyncio.get_running_loop().time() + timeout_s)
    finally:
        wire.abort()
    if isinstance(reply, ReplyError):
        raise reply
    return reply

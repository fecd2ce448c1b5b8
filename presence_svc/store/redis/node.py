"""One Redis server: its wires, deadlines, and a breaker while it is away or takes no writes.

Used by link (and cluster). Never retries: a caller learns within its deadline that an exchange failed, and at
once while the server is known to be away. A late process of ours, or a crowd of our own, is no absence of Redis.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from hiredis import ProtocolError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ...errors import Away, Overloaded, Unavailable
from .pool import PING, Pool
from .reply import EVERYDAY, NOT_SERVING, REFUSES_WRITES, RENEWS, TOO_MANY_CLIENTS, ReplyError
from .url import Access, Address
from .wire import Wire, dial

log = logging.getLogger("presence.redis")
PROBE_S = 0.2
REFUSING_S = 1.0  # between two looks at a server that refuses writes
DIAL_S = 1.0
POOL = 16
CLIENT_POOL = 4  # connections of redis-py's: subscriptions
_LOST = (TimeoutError, OSError, ProtocolError, RedisError)


class Node:
    """`away` while nothing is heard of it or it serves nobody; `refusing` = why it takes no writes, else "".

    `probe` is a packed command that tells whether it takes writes; it must change nothing.
    """

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
        self.probe = probe
        self.away = False
        self.refusing = ""
        self.on_back: Callable[[], object] = lambda: None
        self.on_exchange: Callable[[float], object] = lambda seconds: None
        self.on_failure: Callable[[], object] = lambda: None
        self.on_refusal: Callable[[str], object] = lambda code: None
        self._pool = Pool(self._dial, pool, self._lost)
        self._client: Redis | None = None
        self._heard = 0.0
        self._told: set[str] = set()  # kinds of errors that are in the log
        self._renewed = 0.0
        self._watch: asyncio.Task[None] | None = None

    async def _dial(self) -> Wire:
        return await dial(self.address, self.access, timeout_s=max(DIAL_S, 2 * self.timeout_s))

    @property
    def client(self) -> Redis:
        """redis-py's client for the same server: for subscriptions, and for what is no part of serving."""
        if self._client is None:
            self._client = self.access.client(self.address, timeout_s=self.timeout_s, pool=CLIENT_POOL)
        return self._client

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
        self._pool.close()
        if self._client is not None:
            await self._client.aclose()
        await asyncio.sleep(0)  # transports close at the loop's next turn

    async def exchange(
        self, commands: Sequence[bytes], deadline: float, *, patient: bool = False
    ) -> list[Any]:
        """Sends packed commands in one write, gives replies in order; error replies are ReplyError values.

        Raises Unavailable when nothing came: Away at once while the server is known to be away, Overloaded
        when our own callers hold all connections. `patient`: waits behind others, and says nothing of the
        server when it is slow.
        """
        if self.away:
            raise Away("Redis is away")
        began = perf_counter()
        wire = await self._pool.take(deadline, patient=patient)
        sent = asyncio.get_running_loop().time()
        try:
            replies = await wire.exchange(
                b"".join(commands), len(commands), max(deadline, sent + self.timeout_s / 3)
            )
        except _LOST as error:
            # Half an exchange is on this wire: nobody may ever read the other half.
            self._pool.drop(wire)
            self.on_failure()
            if isinstance(error, TimeoutError) and not patient and self._heard < sent:
                self._open_breaker(error)
            raise Unavailable("Redis does not answer") from error
        except BaseException:
            self._pool.drop(wire)
            raise
        self._heard = asyncio.get_running_loop().time()
        for reply in replies:
            if isinstance(reply, ReplyError):
                self._judge(reply)
        self._pool.give(wire)
        self.on_exchange(perf_counter() - began)
        return replies

    def _judge(self, reply: ReplyError) -> None:
        """What an error reply says of the server, or of the way to it."""
        code = reply.code
        if code in EVERYDAY:
            return
        self.on_refusal(code)
        if code in NOT_SERVING:
            self._pool.renew()
            self._open_breaker(code)
        elif code in RENEWS and (now := asyncio.get_running_loop().time()) - self._renewed > REFUSING_S:
            self._renewed = now
            self._pool.renew()
        if code in REFUSES_WRITES:
            if self.refusing != code:
                log.warning("redis takes no writes: %s", code)
            self.refusing = code
            self._start_watch()
        elif code not in NOT_SERVING and code not in self._told:
            self._told.add(code)
            log.error("redis: %s (more of this kind are counted, not logged)", reply)

    def _lost(self, error: BaseException) -> None:
        """No wire is open, and none can be opened."""
        if not self.away:
            self.on_failure()
        if TOO_MANY_CLIENTS in str(error):
            self._pool.fail(Overloaded, "Redis lets no more clients in")
        self._open_breaker(error)
        self._pool.fail(Away, "Redis is away")

    def _open_breaker(self, why: BaseException | str) -> None:
        """Until a probe gets an answer, nobody waits for a deadline again."""
        if not self.away:
            self.away = True
            log.warning("redis is away: %s", str(why) or type(why).__name__)
            self._pool.fail(Away, "Redis is away")
            self._start_watch()

    def _start_watch(self) -> None:
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._until_well())

    async def _until_well(self) -> None:
        """Probes until the server answers and takes writes. The only one who knocks meanwhile."""
        while self.away or self.refusing:
            await asyncio.sleep(PROBE_S if self.away else REFUSING_S)
            try:
                await self._knock()
            except Exception:
                log.exception("a probe of redis failed")

    async def _knock(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            wire = await self._pool.take(loop.time() + self.timeout_s)
        except (Unavailable, *_LOST):
            return
        try:
            (reply,) = await wire.exchange(self.probe, 1, loop.time() + self.timeout_s)
        except _LOST:
            self._pool.drop(wire)
            if self.away:
                self._pool.renew()  # what is open beside it leads to the same silence
            return
        except BaseException:
            self._pool.drop(wire)
            raise
        code = reply.code if isinstance(reply, ReplyError) else ""
        if code in NOT_SERVING | RENEWS:
            self._pool.renew()
        self._pool.give(wire)
        self._heard = loop.time()
        if code in NOT_SERVING:
            return
        if self.refusing and code not in REFUSES_WRITES:
            log.warning("redis takes writes again")
            self.refusing = ""
        if self.away:
            self.away = False
            log.warning("redis is back")
            self.on_back()

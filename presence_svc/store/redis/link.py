"""A replica's way to Redis: a bounded pool, a deadline on every exchange, and a breaker while Redis is away.

Everything in store and live that talks to Redis goes through a Link. It never retries a write: callers
learn within `redis_timeout` that it failed (Unavailable), and while Redis is away they learn it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)

from ...errors import Misconfigured, Unavailable
from ...settings import Settings
from ..scripts import Script
from .connection import Wires
from .resp import ScriptCall

__all__ = ["Command", "Link", "PubSub", "connect"]

log = logging.getLogger("presence.redis")
PROBE_S = 0.2
POOL = 16
_LOST = (ConnectionError, TimeoutError, OSError, asyncio.TimeoutError)

Command = tuple[Any, ...]


def connect(url: str, *, timeout_s: float = 0.3, pool: int = POOL) -> Redis:
    """A client with a bounded pool, deadlines in seconds, and no retries behind the caller's back.

    Raises Misconfigured for options in the URL that redis-py does not take.
    """
    try:
        connections = BlockingConnectionPool.from_url(
            url,
            max_connections=pool,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        connections.connection_class(**connections.connection_kwargs)  # not opened: looks at the options
    except (ValueError, TypeError):
        raise Misconfigured("PRESENCE_REDIS_URL: an option behind its ? is not understood") from None
    return Redis.from_pool(connections)


class Link:
    """Scripts and commands to one Redis. Raises Unavailable and nothing else for what Redis does wrong.

    `away` while nothing is heard of it; `on_back` is called when that ends.
    """

    def __init__(self, redis: Redis, *, timeout_s: float) -> None:
        self.redis = redis
        self.timeout_s = timeout_s
        self.away = False
        self.on_back: Callable[[], object] = lambda: None
        self.on_exchange: Callable[[float], object] = lambda seconds: None
        self.on_failure: Callable[[], object] = lambda: None
        self._wires = Wires(redis.connection_pool)
        self._probe: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, settings: Settings) -> Link:
        if settings.redis_url is None:
            raise Unavailable("no Redis is named: set PRESENCE_REDIS_URL")
        url = settings.redis_url.get_secret_value()
        return cls(connect(url, timeout_s=settings.redis_timeout), timeout_s=settings.redis_timeout)

    async def close(self) -> None:
        if self._probe:
            self._probe.cancel()
        await self.redis.aclose()

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Runs one script; loads it when Redis has forgotten it (a flush, a failover)."""
        return (await self.pipeline([("EVALSHA", script, len(keys), *keys, *args)]))[0]

    async def pipeline(self, commands: Sequence[Command | ScriptCall]) -> list[Any]:
        """Runs commands in order on one connection, in one exchange. A Script in second place is its SHA."""
        if self.away:
            raise Unavailable("Redis is away")
        began = perf_counter()
        try:
            replies = await self._exchange(commands)
        except _LOST as error:
            self._lost(error)
            raise Unavailable("Redis does not answer") from error
        except (OutOfMemoryError, ReadOnlyError) as error:
            log.warning("redis refuses writes: %s", error)
            raise Unavailable("Redis takes no writes now") from error
        except RedisError as error:
            log.error("redis: %s", error)
            raise Unavailable("Redis answered with an error") from error
        self.on_exchange(perf_counter() - began)
        return replies

    async def _exchange(self, commands: Sequence[Command | ScriptCall]) -> list[Any]:
        """One round trip, two when a script was unknown: then what follows it has run too early.

        All from there on is sent again, in order: scripts write leases and seqs, not differences, so that
        what has run may run twice.
        """
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        replies = await self._send([_by_sha(command) for command in commands], deadline)
        missing = next((i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)), None)
        if missing is not None:
            replies[missing:] = await self._send(list(map(_by_text, commands[missing:])), deadline)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _send(self, commands: Sequence[bytes], deadline: float) -> list[Any]:
        """Replies as RESP2 has them. Packed by hiredis: redis-py packs in Python, at eight times the cost."""
        wire = await self._wires.take(deadline)
        try:
            replies = await wire.exchange(b"".join(commands), len(commands), deadline)
        except BaseException:
            # Half an exchange is on this connection: nobody may ever read the other half.
            await self._wires.drop(wire)
            raise
        await self._wires.give(wire)
        return replies

    def _lost(self, error: BaseException) -> None:
        """Opens the breaker: until a probe gets an answer, nobody waits for a deadline again."""
        self.on_failure()
        if not self.away:
            self.away = True
            log.warning("redis is away: %s", error or type(error).__name__)
            self._probe = asyncio.get_running_loop().create_task(self._until_back())

    async def _until_back(self) -> None:
        while self.away:
            await asyncio.sleep(PROBE_S)
            with contextlib.suppress(RedisError, OSError, asyncio.TimeoutError):
                async with asyncio.timeout(self.timeout_s):
                    await self.redis.ping()
                    self.away = False
        log.warning("redis is back")
        self.on_back()


def _by_sha(command: Command | ScriptCall) -> bytes:
    """The command as it is sent first: a script by its SHA."""
    if isinstance(command, ScriptCall):
        return command.by_sha()
    if command[0] == "EVALSHA":
        command = (command[0], command[1].sha, *command[2:])
    packed: bytes = pack_command(command)
    return packed


def _by_text(command: Command | ScriptCall) -> bytes:
    """The command as it is sent when Redis does not know the script: EVAL also loads it."""
    if isinstance(command, ScriptCall):
        return command.by_text()
    if command[0] == "EVALSHA":
        command = ("EVAL", command[1].text, *command[2:])
    packed: bytes = pack_command(command)
    return packed

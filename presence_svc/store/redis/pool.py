"""A bounded pool of connections to one server. Used by node.

Each dial is a task of its own with its own deadline, so that a connection that comes too late for one caller
serves the next. When the server accepts no more connections, the open ones go on being used. Low-priority
callers, of whom there may be any number, queue behind the others and leave some connections free for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from ...errors import Overloaded, Unavailable
from .connection import Connection
from .resp import packed_command
from .waiters import Waiters

RESERVED = 2  # connections that low-priority callers leave free
IDLE_S = 5.0  # a connection that was idle for longer may be dead: it is pinged before it is used
CHECK_S = (0.1, 0.25)  # for the reply to that ping; longer while Redis is slow
DIAL_PAUSE_S = 0.2
PING = packed_command("PING")
BUSY = "too many requests are waiting for a connection to Redis"
NOT_OPEN = "the connection to Redis is not open yet"


class Pool:
    """`on_lost(error)` is called when a dial has failed and no connection is open: the server is away."""

    def __init__(
        self,
        dial: Callable[[int], Awaitable[Connection]],
        size: int,
        on_lost: Callable[[BaseException], object],
    ) -> None:
        self._dial = dial
        self._size = size
        self._on_lost = on_lost
        self._low_priority_limit = max(1, size - RESERVED)
        self._idle: list[Connection] = []
        self._waiters = Waiters()
        self._low_priority_busy = 0
        self._open = 0
        self._generation = 0
        self._dials: set[asyncio.Task[None]] = set()
        self._not_before = 0.0
        self._again: asyncio.TimerHandle | None = None
        self._closed, self.last_exchange_s = False, 0.0  # node sets the duration

    def ready(self, now: float) -> Connection | None:
        """The most recently used connection if it is ready now: the usual case, without awaiting anything."""
        if self._idle:
            last = self._idle[-1]
            if last.is_ready and last.generation == self._generation and now - last.used_at < IDLE_S:
                return self._idle.pop()
        return None

    async def take(self, deadline: float, *, low_priority: bool = False) -> Connection:
        """Waits for a ready connection. Raises Unavailable at the deadline, and whatever dialling raised."""
        loop = asyncio.get_running_loop()
        while True:
            connection = self._pop(low_priority=low_priority) or await self._wait(
                deadline, low_priority=low_priority
            )
            if loop.time() - connection.used_at < IDLE_S or await self._answers(connection):
                return connection
            self.drop(connection)
            while self._idle and loop.time() - self._idle[0].used_at >= IDLE_S:
                self._forget(self._idle.pop(0))  # others that were idle for as long are probably dead too

    def _pop(self, *, low_priority: bool) -> Connection | None:
        while self._idle and not (low_priority and self._low_priority_busy >= self._low_priority_limit):
            connection = self._idle.pop()
            if connection.is_ready and connection.generation == self._generation:
                connection.low_priority = low_priority
                self._low_priority_busy += low_priority
                return connection
            self._forget(connection)
        return None

    async def _wait(self, deadline: float, *, low_priority: bool) -> Connection:
        waiter = self._waiters.add(low_priority=low_priority)
        self._serve()
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give(waiter.result())  # it was assigned just as the caller gave up
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Overloaded(BUSY) if self._open else Unavailable(NOT_OPEN) from None
        finally:
            self._waiters.discard(waiter)

    async def _answers(self, connection: Connection) -> bool:
        shortest_s, longest_s = CHECK_S
        check_s = min(max(shortest_s, 1.5 * self.last_exchange_s), longest_s)
        try:
            await connection.exchange(PING, 1, asyncio.get_running_loop().time() + check_s)
        except BaseException as error:
            if isinstance(error, Exception):
                return False
            self.drop(connection)
            raise
        return True

    def give(self, connection: Connection) -> None:
        """Takes a connection back after a complete exchange."""
        if connection.low_priority:
            self._low_priority_busy -= 1
            connection.low_priority = False
        if self._closed or not connection.is_ready or connection.generation != self._generation:
            self._forget(connection)
        else:
            connection.used_at = asyncio.get_running_loop().time()
            self._idle.append(connection)
        if self._waiters:
            self._serve()

    def drop(self, connection: Connection) -> None:
        """Closes a connection that has half an exchange on it or whose server is gone."""
        self._low_priority_busy -= connection.low_priority
        self._forget(connection)
        self._serve()

    def _forget(self, connection: Connection) -> None:
        self._open -= 1
        connection.abort()

    def renew(self) -> None:
        """Replaces all connections, each as soon as it is idle: the address leads to another server now."""
        self._generation += 1
        while self._idle:
            self._forget(self._idle.pop())

    def fail(self, kind: type[Unavailable], why: str) -> None:
        """Fails everyone who is waiting."""
        self._waiters.fail(kind, why)

    def _serve(self) -> None:
        """Hands idle connections to waiters, and dials for the rest of them."""
        allowed = max(0, self._low_priority_limit - self._low_priority_busy)
        while self._idle and (found := self._waiters.next(low_priority=allowed > 0)):
            waiter, low_priority = found
            connection = self._pop(low_priority=low_priority)
            if connection is None:  # the idle ones turned out to be dead
                self._waiters.put_back(waiter, low_priority=low_priority)
                break
            allowed -= low_priority
            waiter.set_result(connection)
        wanted = self._waiters.wanted(allowed) - len(self._dials)
        unused = self._size - self._open - len(self._dials)
        if self._closed or min(wanted, unused) <= 0:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            if self._again is None:
                self._again = loop.call_at(self._not_before, self._serve_again)
            return
        for _ in range(min(wanted, unused)):
            task = loop.create_task(self._grow(self._generation))
            self._dials.add(task)

    def _serve_again(self) -> None:
        self._again = None
        self._serve()

    async def _grow(self, generation: int) -> None:
        """Dials once. If that fails, nothing is open and no other dial is under way, all waiters fail."""
        task = cast(asyncio.Task[None], asyncio.current_task())
        try:
            connection = await self._dial(generation)
        except Exception as error:
            self._dials.discard(task)
            self._not_before = asyncio.get_running_loop().time() + DIAL_PAUSE_S
            if not self._open and not self._dials:
                self._on_lost(error)
            self._serve()
            return
        finally:
            self._dials.discard(task)
        self._open += 1
        connection.generation = generation
        self.give(connection)

    async def close(self) -> None:
        """Stops dialling and closes idle connections."""
        self._closed = True
        if self._again:
            self._again.cancel()
        self.fail(Unavailable, "the connection pool is closed")
        dials = list(self._dials)
        for task in dials:
            task.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        self.renew()
        await asyncio.sleep(0)  # transports close at the loop's next iteration

"""The bounded set of wires to one server. Used by node.

Dialling happens apart from whoever waits and has a deadline of its own: what has been dialled too late for
one caller serves the next. Where the server refuses more, the open wires go on. Patient callers,
of whom there may be any number at once, wait behind the others and leave some wires to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from ...errors import Overloaded, Unavailable
from .resp import packed_command
from .waiters import Waiters
from .wire import Wire

RESERVED = 2  # wires that patient callers do not take
IDLE_S = 5.0  # after that a wire may be dead without a word: it is asked before it is used
CHECK_S = (0.1, 0.25)
DIAL_PAUSE_S = 0.2
PING = packed_command("PING")
BUSY = "too many requests are waiting for a connection to Redis"


class Pool:
    """`on_lost(error)` is called when a dial failed and no wire is open: the server is away."""

    def __init__(
        self, dial: Callable[[int], Awaitable[Wire]], size: int, on_lost: Callable[[BaseException], object]
    ) -> None:
        self._dial = dial
        self._size = size
        self._on_lost = on_lost
        self._patient_size = max(1, size - RESERVED)
        self._idle: list[Wire] = []
        self._waiters = Waiters()
        self._patient_busy = 0
        self._open = 0
        self._generation = 0
        self._dials: set[asyncio.Task[None]] = set()
        self._not_before = 0.0
        self._again: asyncio.TimerHandle | None = None
        self._closed = False
        self.took_s = 0.0  # the last call: a server that is slow is slow to say that it is there

    def ready(self, now: float) -> Wire | None:
        """The wire that was used last, if it can be used as it is: for the usual case, without a wait."""
        if self._idle:
            wire = self._idle[-1]
            if wire.is_ready and wire.generation == self._generation and now - wire.used_at < IDLE_S:
                return self._idle.pop()
        return None

    async def take(self, deadline: float, *, patient: bool = False) -> Wire:
        """A wire that is ready. Raises Unavailable at the deadline, and what dialling raised."""
        loop = asyncio.get_running_loop()
        while True:
            wire = self._pop(patient=patient) or await self._wait(deadline, patient=patient)
            if loop.time() - wire.used_at < IDLE_S or await self._answers(wire):
                return wire
            self.drop(wire)
            while self._idle and loop.time() - self._idle[0].used_at >= IDLE_S:
                self._forget(self._idle.pop(0))  # what has been idle as long as a dead one is dead too

    def _pop(self, *, patient: bool) -> Wire | None:
        while self._idle and not (patient and self._patient_busy >= self._patient_size):
            wire = self._idle.pop()
            if wire.is_ready and wire.generation == self._generation:
                return self._taken(wire, patient=patient)
            self._forget(wire)
        return None

    def _taken(self, wire: Wire, *, patient: bool) -> Wire:
        wire.patient = patient
        self._patient_busy += patient
        return wire

    async def _wait(self, deadline: float, *, patient: bool) -> Wire:
        waiter = self._waiters.add(patient=patient)
        self._serve()
        try:
            async with asyncio.timeout_at(deadline):
                return await waiter
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give(waiter.result())  # it came, and nobody was there any more
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Overloaded(BUSY) if self._open else Unavailable("Redis is being connected to") from None
        finally:
            self._waiters.discard(waiter)

    async def _answers(self, wire: Wire) -> bool:
        least_s, most_s = CHECK_S
        check_s = min(max(least_s, 1.5 * self.took_s), most_s)
        try:
            await wire.exchange(PING, 1, asyncio.get_running_loop().time() + check_s)
        except BaseException as error:
            if isinstance(error, Exception):
                return False
            self.drop(wire)
            raise
        return True

    def give(self, wire: Wire) -> None:
        """Takes a wire back after an exchange that has come to its end."""
        if wire.patient:
            self._patient_busy -= 1
            wire.patient = False
        if self._closed or not wire.is_ready or wire.generation != self._generation:
            self._forget(wire)
        else:
            wire.used_at = asyncio.get_running_loop().time()
            self._idle.append(wire)
        if self._waiters:
            self._serve()

    def drop(self, wire: Wire) -> None:
        """Closes it: half an exchange is on it, or it has lost its Redis."""
        self._patient_busy -= wire.patient
        self._forget(wire)
        self._serve()

    def _forget(self, wire: Wire) -> None:
        self._open -= 1
        wire.abort()

    def renew(self) -> None:
        """Closes what is open, each wire when it is free, and dials anew: the address leads elsewhere now."""
        self._generation += 1
        while self._idle:
            self._forget(self._idle.pop())

    def fail(self, kind: type[Unavailable], why: str) -> None:
        """Nobody needs to wait any longer."""
        self._waiters.fail(kind, why)

    def _serve(self) -> None:
        """Gives what is free to who waits, and dials for the others."""
        allowed = max(0, self._patient_size - self._patient_busy)
        while self._idle and (found := self._waiters.next(patient=allowed > 0)):
            waiter, patient = found
            wire = self._pop(patient=patient)
            if wire is None:  # what was idle is dead
                self._waiters.put_back(waiter, patient=patient)
                break
            allowed -= patient
            waiter.set_result(wire)
        wanted = self._waiters.wanted(allowed) - len(self._dials)
        room = self._size - self._open - len(self._dials)
        if self._closed or min(wanted, room) <= 0:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            if self._again is None:
                self._again = loop.call_at(self._not_before, self._serve_again)
            return
        for _ in range(min(wanted, room)):
            task = loop.create_task(self._grow(self._generation))
            self._dials.add(task)

    def _serve_again(self) -> None:
        self._again = None
        self._serve()

    async def _grow(self, generation: int) -> None:
        """One dial. When it fails, and nothing is open or on its way, those who wait fail with it."""
        task = cast(asyncio.Task[None], asyncio.current_task())
        try:
            wire = await self._dial(generation)
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
        wire.generation = generation
        self.give(wire)

    async def close(self) -> None:
        """Nothing is dialled any more, and what is idle is closed."""
        self._closed = True
        if self._again:
            self._again.cancel()
        self.fail(Unavailable, "the way to Redis is closed")
        dials = list(self._dials)
        for task in dials:
            task.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        self.renew()
        await asyncio.sleep(0)  # transports close at the loop's next turn

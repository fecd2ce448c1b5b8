"""Ends a replica in order, so that no client sees an error: readiness, streams, connections. Used by app.

uvicorn closes its listeners as soon as it hears of a signal, and then waits for streams that would never end.
Here it hears of it last: first readiness falls and load balancers have `delay_s` to notice, then streams and
sockets are told to come back elsewhere, some at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

STEP_S = 0.05
GOODBYES_PER_S = 100  # at least: a few need not wait for each other
FORCED_S = 1.0  # what uvicorn has, after a second signal, to end by itself
LAST_REQUEST_S = 1.0  # of a connection that was accepted, while its client does not know that we end


class Closable(Protocol):
    """A stream's or a socket's mailbox: live.listener."""

    def close(self) -> None: ...


class Draining(Protocol):
    """What has streams to say goodbye to: live.hub. `closing` is for those that open from then on."""

    closing: bool

    @property
    def listeners(self) -> Collection[Closable]: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...


class Shutdown:
    """Begun by the first SIGTERM or SIGINT; a second one ends it at once.

    SIGINT is a person at a terminal: nobody waits then. A SIGTERM after it is the parent's, which passes it
    on.
    """

    def __init__(self, hub: Draining, delay_s: float, spread_s: float, on_begin: Callable[[], None]) -> None:
        self._hub, self._delay_s, self._spread_s = hub, delay_s, spread_s
        self._on_begin = on_begin
        self._loop = asyncio.get_running_loop()
        self._before: dict[int, Any] = {}
        self._first = 0
        self._task: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Takes the signals; those who had them hear of them when their turn has come."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.getsignal(number)
            signal.signal(number, self._hear)

    @property
    def last_request_s(self) -> float:
        """How long a connection on which nothing is under way may still send a request."""
        return 0.0 if self._first == signal.SIGINT else LAST_REQUEST_S

    def restore(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for number, old in self._before.items():
            signal.signal(number, old)

    def _hear(self, number: int, frame: object) -> None:
        self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        if not self._first:
            self._first = number
            self._hub.drain()
            self._on_begin()
            self._task = self._loop.create_task(self._drain(number))
        elif (self._first, number) != (signal.SIGINT, signal.SIGTERM):
            self._hub.close()
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it tells at length what is cut
            self._pass_on(number)
            self._pass_on(signal.SIGINT)  # by which uvicorn knows that it should not wait
            self._loop.call_later(FORCED_S, _leave)

    async def _drain(self, number: int) -> None:
        try:
            if number == signal.SIGTERM:
                await asyncio.sleep(self._delay_s)
                self._hub.closing = True
                await say_goodbye(list(self._hub.listeners), self._spread_s)
        finally:
            self._hub.close()
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        old = self._before.get(number)
        if callable(old):
            old(number, None)


async def say_goodbye(listeners: Sequence[Closable], spread_s: float) -> None:
    """Within `spread_s`: those who are sent away do not all come to the other replicas at once."""
    steps = max(1, math.ceil(min(spread_s, len(listeners) / GOODBYES_PER_S) / STEP_S))
    for step in range(steps):
        for listener in listeners[step::steps]:
            listener.close()
        if step < steps - 1:
            await asyncio.sleep(STEP_S)


@contextlib.contextmanager
def on_shutdown(
    hub: Draining, delay_s: float, spread_s: float, on_begin: Callable[[], None] = lambda: None
) -> Iterator[Shutdown]:
    """Within, signals end the replica in order; at its end whoever is left is told as well."""
    shutdown = Shutdown(hub, delay_s, spread_s, on_begin)
    with contextlib.suppress(ValueError):  # not the main thread: somebody else owns the signals
        shutdown.listen()
    try:
        yield shutdown
    finally:
        hub.close()
        shutdown.restore()


def _leave() -> None:
    raise SystemExit(0)

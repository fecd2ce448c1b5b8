"""The one pub/sub reader of a replica: hears every change of the courses that somebody here watches.

Used by live.hub. A lost subscription is silent in Redis, also when the connection only seems alive, so the
reader pings on that same connection and starts over when nothing comes back. Every confirmed subscription,
the first as well as any later one, is reported, so that the hub reads the truth and misses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

from ..store.keys import Keys
from ..store.redis.link import Link, PubSub

log = logging.getLogger("presence.bus")
PING_S = 2.0
DEAF_S = 5.0
RETRY_S = (0.1, 1.0)


class Bus:
    """`on_message(course_id, data)` for each change; `on_subscribed(course_id)` when it is time to read.

    `on_lost()` when the connection is given up: nothing is heard until courses are subscribed again.
    """

    def __init__(
        self,
        link: Link,
        keys: Keys,
        on_message: Callable[[str, bytes], None],
        on_subscribed: Callable[[str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._link = link
        self._keys = keys
        self._own = f"{keys.bus}:{link.db}"
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self._on_lost = on_lost
        self._wanted: set[str] = set()
        self._asked: set[str] = set()
        self._changed = asyncio.Event()
        self._heard = 0.0
        self._open: PubSub | None = None
        self._stopped = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self._stopped = True  # a cancel alone may be lost: on 3.11 asyncio.wait_for can swallow it
        self._open = None
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, course_id: str) -> None:
        """From now on this course's messages are wanted."""
        self._wanted.add(self._keys.channel(course_id))
        self._changed.set()

    def renew(self) -> None:
        """Redis's address may lead to another server now: subscribes anew, on a new connection."""
        self._open = None
        self._changed.set()

    def remove(self, course_id: str) -> None:
        self._wanted.discard(self._keys.channel(course_id))
        self._changed.set()

    async def _run(self) -> None:
        while not self._stopped:
            try:
                await self._listen()
            except Exception as error:
                log.warning("subscription lost: %s", _cause(error))
                self._on_lost()
            await asyncio.sleep(random.uniform(*RETRY_S))

    async def _listen(self) -> None:
        """One connection's life. Its own channel is subscribed first: there must always be one."""
        self._asked = set()
        self._open = pubsub = self._link.pubsub()
        try:
            await pubsub.subscribe(self._own)
            self._heard = asyncio.get_running_loop().time()
            self._changed.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._with_its_twin(self._read(pubsub)))
                tasks.create_task(self._with_its_twin(self._ask(pubsub)))
        finally:
            with contextlib.suppress(Exception):  # it is being given up, whatever its state
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _with_its_twin(self, work: Coroutine[Any, Any, None]) -> None:
        """Reading and asking end together, also when the cancel of the other is lost."""
        try:
            await work
        finally:
            self._open = None

    async def _read(self, pubsub: PubSub) -> None:
        loop = asyncio.get_running_loop()
        while self._open is pubsub:
            message = await pubsub.get_message(timeout=PING_S)
            if message is not None:
                self._heard = loop.time()
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        channel = (message["channel"] or b"").decode()
        if channel == self._own:
            return
        try:
            if message["type"] == "message":
                self._on_message(self._keys.course_of(channel), message["data"])
            elif message["type"] == "subscribe":
                self._on_subscribed(self._keys.course_of(channel))
        except Exception:
            log.exception("a message could not be handled")

    async def _ask(self, pubsub: PubSub) -> None:
        """Subscribes and unsubscribes as wanted, and pings. The only writer on this connection."""
        loop = asyncio.get_running_loop()
        while self._open is pubsub:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await self._changed.wait()
            self._changed.clear()
            if loop.time() - self._heard > DEAF_S:
                raise ConnectionError(f"no answer for {DEAF_S} s")
            added, gone = self._wanted - self._asked, self._asked - self._wanted
            self._asked = set(self._wanted)
            async with asyncio.timeout(PING_S):
                if added:
                    await pubsub.subscribe(*added)
                if gone:
                    await pubsub.unsubscribe(*gone)
                if not added and not gone:
                    await pubsub.ping()


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__

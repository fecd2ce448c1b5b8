"""Hears, at one server, the channels that are wanted there, over any number of connections. Used by live.bus.

A lost subscription is silent in Redis, also when the connection only seems alive: so it pings on that same
connection, and starts over when nothing comes back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from ..store.redis.link import Link
from ..store.redis.subscription import Event, Subscription
from ..store.redis.url import Address

log = logging.getLogger("presence.bus")
PING_S = 2.0
DEAF_S = 5.0
RETRY_S = (0.1, 1.0)
AGAIN_S = 0.1  # a channel whose slot moves: until both nodes know


class Ear:
    """`on_event` for messages and confirmed subscriptions; `on_lost` when a connection is given up."""

    def __init__(
        self,
        link: Link,
        place: Address,
        on_event: Callable[[Event], None],
        on_lost: Callable[[Ear], None],
    ) -> None:
        self.place = place
        self.wanted: set[str] = set()
        self._link = link
        self._on_event = on_event
        self._on_lost = on_lost
        self._asked: set[str] = set()
        self._open: Subscription | None = None
        self._asking: asyncio.Handle | None = None
        self._stopped = False
        self._said = ""  # why it is lost, while it is
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self.stop_soon()
        await asyncio.gather(self._task, return_exceptions=True)

    def stop_soon(self) -> None:
        """Without waiting for its end."""
        self._stopped = True
        if self._asking:
            self._asking.cancel()
        self._task.cancel()

    def renew(self) -> None:
        """Starts over on a new connection."""
        subscription, self._open = self._open, None
        if subscription:
            subscription.close()

    def add(self, channel: str) -> None:
        self.wanted.add(channel)
        self._ask_soon()

    def remove(self, channel: str) -> None:
        self.wanted.discard(channel)
        self._ask_soon()

    async def _run(self) -> None:
        while not self._stopped:
            try:
                await self._listen()
            except Exception as error:
                self._note(str(error) or type(error).__name__)
                self._on_lost(self)
            await asyncio.sleep(random.uniform(*RETRY_S))

    def _note(self, why: str) -> None:
        """One line for each state, and each reason for it: a Redis that is away may be so for days."""
        if why and why != self._said:
            log.warning("subscription lost: %s", why)
        elif self._said and not why:
            log.warning("subscribed again")
        self._said = why

    async def _listen(self) -> None:
        """One connection's life."""
        loop = asyncio.get_running_loop()
        subscription = await self._link.subscription(self.place)
        self._asked, self._open, heard = set(), subscription, loop.time()
        try:
            self._ask()
            while not self._stopped and self._open is subscription:
                event = await subscription.get(PING_S)
                if event is not None:
                    heard = loop.time()
                    self._take(event)
                    if self._said and event.kind != "refused":
                        self._note("")
                elif loop.time() - heard > DEAF_S:
                    raise ConnectionError(f"no answer for {DEAF_S} s")
                else:
                    subscription.ping()
        except ConnectionError:
            if self._open is subscription:  # else it was closed here
                raise
        finally:
            self._open = None
            subscription.close()

    def _take(self, event: Event) -> None:
        if event.kind == "unsubscribed":
            self._asked.discard(event.channel)
            if event.channel in self.wanted:  # nobody here has asked for that: its slot has gone
                self._link.hint()
                self._ask_soon(AGAIN_S)
        elif event.kind == "refused":
            self._refused(event.data.decode(errors="replace"))
        elif event.kind != "pong":
            try:
                self._on_event(event)
            except Exception:
                log.exception("a message could not be handled")

    def _refused(self, why: str) -> None:
        """Where its slot has moved to is no loss of the connection; all else is."""
        gone = self._link.redirected(why, self.place)
        if gone is None:
            raise ConnectionError(why)
        self._asked -= {channel for channel in self._asked if gone(channel)}
        self._ask_soon(AGAIN_S)

    def _ask_soon(self, in_s: float = 0.0) -> None:
        """What changes in one turn of the loop is asked for in one write."""
        if self._asking is None:
            loop = asyncio.get_running_loop()
            self._asking = loop.call_later(in_s, self._ask) if in_s else loop.call_soon(self._ask)

    def _ask(self) -> None:
        if self._asking:
            self._asking.cancel()
            self._asking = None
        if self._open is None:
            return
        added, gone = self.wanted - self._asked, self._asked - self.wanted
        self._asked = set(self.wanted)
        if added:
            self._open.subscribe(added)
        if gone:
            self._open.unsubscribe(gone)

"""Keeps up the subscriptions at one server, reconnecting as often as needed. Used by live.bus.

Redis does not tell a client that its subscription is lost, and a dead connection may look alive. So it pings
on the same connection, and reconnects when no answer comes.
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
SILENCE_S = 5.0
RETRY_S = (0.1, 1.0)
AGAIN_S = 0.1  # before subscribing again to a channel whose slot moves: both nodes must know of the move


class Subscriber:
    """Calls `on_event` for messages and confirmed subscriptions, and `on_lost` when a connection is lost."""

    def __init__(
        self,
        link: Link,
        address: Address,
        on_event: Callable[[Event], None],
        on_lost: Callable[[Subscriber], None],
    ) -> None:
        self.address = address
        self.wanted: set[str] = set()
        self._link = link
        self._on_event = on_event
        self._on_lost = on_lost
        self._asked: set[str] = set()
        self._open: Subscription | None = None
        self._asking: asyncio.Handle | None = None
        self._stopped = False
        self._lost_because = ""  # why there is no subscription now; "" while there is one
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self.stop_soon()
        await asyncio.gather(self._task, return_exceptions=True)

    def stop_soon(self) -> None:
        """Stops without waiting for the end."""
        self._stopped = True
        if self._asking:
            self._asking.cancel()
        self._task.cancel()

    def renew(self) -> None:
        """Reconnects."""
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
                self._log_state(str(error) or type(error).__name__)
                self._on_lost(self)
            await asyncio.sleep(random.uniform(*RETRY_S))

    def _log_state(self, why: str) -> None:
        """Logs each change of state or reason once: Redis may be away for days."""
        if why and why != self._lost_because:
            log.warning("subscription lost: %s", why)
        elif self._lost_because and not why:
            log.warning("subscribed again")
        self._lost_because = why

    async def _listen(self) -> None:
        """Opens one connection and serves it until it ends."""
        loop = asyncio.get_running_loop()
        subscription = await self._link.subscription(self.address)
        self._asked, self._open, heard = set(), subscription, loop.time()
        try:
            self._ask()
            while not self._stopped and self._open is subscription:
                event = await subscription.get(PING_S)
                if event is not None:
                    heard = loop.time()
                    self._take(event)
                    if self._lost_because and event.kind != "refused":
                        self._log_state("")
                elif loop.time() - heard > SILENCE_S:
                    raise ConnectionError(f"no answer for {SILENCE_S} s")
                else:
                    subscription.ping()
        except ConnectionError:
            if self._open is subscription:  # otherwise `renew` has closed it
                raise
        finally:
            self._open = None
            subscription.close()

    def _take(self, event: Event) -> None:
        if event.kind == "unsubscribed":
            self._asked.discard(event.channel)
            if event.channel in self.wanted:  # the server's own decision: the channel's slot has moved
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
        """Subscribes again if the channel's slot has moved; any other refusal ends the connection."""
        gone = self._link.redirected(why, self.address)
        if gone is None:
            raise ConnectionError(why)
        self._asked -= {channel for channel in self._asked if gone(channel)}
        self._ask_soon(AGAIN_S)

    def _ask_soon(self, in_s: float = 0.0) -> None:
        """Schedules one request for all changes of the current loop iteration."""
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

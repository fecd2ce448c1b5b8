"""A replica's subscriptions: receives every change of the courses that are watched here.

Used by live.hub and by client. There is one connection per publishing server; on a Cluster a channel moves
with its course's slot. Every confirmed subscription is reported, the first as well as later ones, because
the hub must then read the state to miss nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..store.keys import Keys
from ..store.redis.link import Link
from ..store.redis.subscription import Event
from ..store.redis.url import Address
from .subscriber import Subscriber


class Bus:
    """Calls `on_message(course_id, data)` for each change, and `on_subscribed(course_id)` when to read.

    `on_lost(course_ids)` is called when a connection is lost; `on_subscribed` follows for each of them.
    `on_marked()` is called when the channel that marks our database is subscribed (store.checkup.claim).
    """

    def __init__(
        self,
        link: Link,
        keys: Keys,
        on_message: Callable[[str, bytes], None],
        on_subscribed: Callable[[str], None],
        on_lost: Callable[[list[str]], None],
    ) -> None:
        self._link = link
        self._keys = keys
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self._on_lost = on_lost
        self.on_marked: Callable[[], object] = lambda: None
        self._wanted: dict[str, Subscriber | None] = {}
        self._subscribers: dict[Address, Subscriber] = {}
        self._moving: asyncio.Handle | None = None
        self._started = False
        self._own = f"{keys.bus}:{link.db}"

    def start(self) -> None:
        self._started = True
        self._link.on_topology_change = self._move_soon
        self._move()

    async def stop(self) -> None:
        self._started = False
        if self._moving:
            self._moving.cancel()
        await asyncio.gather(*(subscriber.stop() for subscriber in self._subscribers.values()))

    def add(self, course_id: str) -> None:
        """Subscribes to this course's messages."""
        channel = self._keys.channel(course_id)
        self._wanted[channel] = None
        if self._started:
            self._assign(channel)

    def renew(self) -> None:
        """Reconnects: Redis's address may lead to another server now. A Cluster's link notices itself."""
        for subscriber in self._subscribers.values() if not self._link.is_cluster else ():
            subscriber.renew()

    def remove(self, course_id: str) -> None:
        channel = self._keys.channel(course_id)
        subscriber = self._wanted.pop(channel, None)
        if subscriber:
            subscriber.remove(channel)

    def _assign(self, channel: str) -> None:
        """Subscribes where the channel is published now; if nowhere, at the next topology change."""
        address, before = self._link.pubsub_address(channel), self._wanted[channel]
        if address is None or (before and before.address == address):
            return
        if before:
            before.remove(channel)
        self._wanted[channel] = subscriber = self._subscriber(address)
        subscriber.add(channel)

    def _subscriber(self, address: Address) -> Subscriber:
        if address not in self._subscribers:
            self._subscribers[address] = Subscriber(self._link, address, self._take, self._lost)
        return self._subscribers[address]

    def _move_soon(self) -> None:
        if self._moving is None and self._started:
            self._moving = asyncio.get_running_loop().call_soon(self._move)

    def _move(self) -> None:
        """Moves channels to the servers that publish them now."""
        self._moving = None
        addresses = self._link.pubsub_addresses()
        for address in addresses:
            if not self._link.is_cluster:  # shows others that this database is in use: see preflight
                self._subscriber(address).add(self._own)
            self._subscriber(address)
        for channel in list(self._wanted):
            self._assign(channel)
        for address in [address for address in self._subscribers if address not in addresses]:
            if self._subscribers[address].wanted <= {self._own}:
                self._subscribers.pop(address).stop_soon()

    def _take(self, event: Event) -> None:
        if event.channel not in self._wanted:
            if event.channel == self._own and event.kind == "subscribed":
                self.on_marked()
            return
        course_id = self._keys.course_of(event.channel)
        if event.kind == "message":
            self._on_message(course_id, event.data)
        else:
            self._on_subscribed(course_id)

    def _lost(self, subscriber: Subscriber) -> None:
        self._on_lost(list(self._courses(subscriber.wanted - {self._own})))

    def _courses(self, channels: Iterable[str]) -> Iterable[str]:
        return map(self._keys.course_of, channels)

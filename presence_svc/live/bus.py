"""The subscriptions of a replica: hears every change of the courses that somebody here watches.

Used by live.hub and by client. One connection per server that publishes; on a Cluster a channel follows the
slot of its course. Every confirmed subscription, the first as well as any later one, is reported, so that the
hub reads the truth and misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..store.keys import Keys
from ..store.redis.link import Link
from ..store.redis.subscription import Event
from ..store.redis.url import Address
from .ear import Ear


class Bus:
    """`on_message(course_id, data)` for each change; `on_subscribed(course_id)` when it is time to read.

    `on_lost(course_ids)` when a connection is given up: these are heard again once they are subscribed.
    `on_marked()` when our database's mark is set (store.checkup.claim).
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
        self._wanted: dict[str, Ear | None] = {}
        self._ears: dict[Address, Ear] = {}
        self._moving: asyncio.Handle | None = None
        self._started = False
        self._own = f"{keys.bus}:{link.db}"

    def start(self) -> None:
        self._started = True
        self._link.on_places = self._move_soon
        self._move()

    async def stop(self) -> None:
        self._started = False
        if self._moving:
            self._moving.cancel()
        await asyncio.gather(*(ear.stop() for ear in self._ears.values()))

    def add(self, course_id: str) -> None:
        """From now on this course's messages are wanted."""
        channel = self._keys.channel(course_id)
        self._wanted[channel] = None
        if self._started:
            self._place(channel)

    def renew(self) -> None:
        """Redis's address may lead to another server now: subscribes anew, on a new connection."""
        for ear in self._ears.values() if not self._link.is_cluster else ():
            ear.renew()

    def remove(self, course_id: str) -> None:
        channel = self._keys.channel(course_id)
        ear = self._wanted.pop(channel, None)
        if ear:
            ear.remove(channel)

    def _place(self, channel: str) -> None:
        """Has it heard where it is published now; what nobody publishes waits for the next change."""
        place, before = self._link.place_of(channel), self._wanted[channel]
        if place is None or (before and before.place == place):
            return
        if before:
            before.remove(channel)
        self._wanted[channel] = ear = self._ear(place)
        ear.add(channel)

    def _ear(self, place: Address) -> Ear:
        if place not in self._ears:
            self._ears[place] = Ear(self._link, place, self._take, self._lost)
        return self._ears[place]

    def _move_soon(self) -> None:
        if self._moving is None and self._started:
            self._moving = asyncio.get_running_loop().call_soon(self._move)

    def _move(self) -> None:
        """Channels follow their servers."""
        self._moving = None
        places = self._link.places()
        for place in places:
            if not self._link.is_cluster:  # says that this database's channels are in use: see preflight
                self._ear(place).add(self._own)
            self._ear(place)
        for channel in list(self._wanted):
            self._place(channel)
        for place in [place for place in self._ears if place not in places]:
            if self._ears[place].wanted <= {self._own}:
                self._ears.pop(place).stop_soon()

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

    def _lost(self, ear: Ear) -> None:
        self._on_lost(list(self._courses(ear.wanted - {self._own})))

    def _courses(self, channels: Iterable[str]) -> Iterable[str]:
        return map(self._keys.course_of, channels)

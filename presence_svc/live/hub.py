"""Local fan-out: one feed per course that is watched on this replica, however many listeners it has.

web.sse and web.ws attach listeners, live.bus delivers messages, live.sweeper reports the warm state. A feed's
state comes from messages and from reads at every (re)subscription. Nothing here awaits a client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import orjson

from ..errors import PresenceError, Unavailable
from ..model import Count
from ..store.people.counter import PeopleCounter
from ..store.presence import Presence
from ..store.roster.reader import Rosters
from ..store.shared import WarmState
from .bus import Bus
from .feed import Feed
from .listener import Listener, Selection
from .names import send_names
from .people import PeopleFeed
from .reads import Reads

KNOWN_AFTER_S = 0.1  # half of the time that a stream has for its first frame


class Hub:
    """`start` opens the subscriptions; `close` ends every stream."""

    def __init__(self, presence: Presence, rosters: Rosters, people: PeopleCounter) -> None:
        self._presence = presence
        self._rosters = rosters
        self._feeds: dict[str, Feed] = {}
        self._reads = Reads()
        self._warm: frozenset[int] = frozenset()  # partitions whose messages can be trusted (S11)
        self._people = PeopleFeed(people)
        self.listeners: set[Listener] = set()
        self.draining = self.closing = False
        self.on_fan_out: Callable[[int], None] = lambda listeners: None
        self.on_lost: Callable[[], object] = lambda: None
        self.bus = Bus(
            presence.link, presence.keys, self._on_message, self._refresh_course, self._on_lost_server
        )

    def start(self) -> None:
        self.bus.start()

    async def stop(self) -> None:
        """Stops the background tasks. Streams were ended by `close` before."""
        await self.bus.stop()
        await self._people.stop()
        await self._reads.stop()
        for feed in self._feeds.values():
            feed.close()

    def drain(self) -> None:
        """The replica will shut down soon: it is no longer ready, but still serves."""
        self.draining = True

    def close(self) -> None:
        """The replica shuts down: every stream, including those that open now, sends `bye` and ends."""
        self.draining = self.closing = True
        for listener in self.listeners:
            listener.close()

    def attach(
        self,
        courses: tuple[str, ...],
        viewers: int = 0,
        *,
        chapters: Selection = None,
        is_steady: bool = False,
        nameless: frozenset[str] = frozenset(),
        people: bool = False,
    ) -> Listener:
        """Adds a listener, which gets each course's count now and at every change, and names if wanted.

        With `people` it also gets the number of people over all courses.
        """
        listener = Listener(courses, viewers, chapters=chapters, is_steady=is_steady, nameless=nameless)
        self.listeners.add(listener)
        for course_id in listener.courses:
            if (feed := self._feeds.get(course_id)) is None:
                feed = self._feeds[course_id] = Feed(course_id)
                self.bus.add(course_id)
            feed.listeners.add(listener)
        if people:
            self._people.add(listener)
        self._reads.start(self._first(listener))
        if self.closing:
            listener.close()
        return listener

    def detach(self, listener: Listener) -> None:
        self.listeners.discard(listener)
        self._people.discard(listener)
        for course_id in listener.courses:
            feed = self._feeds[course_id]
            feed.listeners.discard(listener)
            if not feed.listeners:
                feed.close()
                del self._feeds[course_id]
                self.bus.remove(course_id)

    @property
    def warming(self) -> bool:
        """Whether low counts of any partition cannot be trusted yet (S11)."""
        return len(self._warm) < len(self._presence.keys.partitions)

    def on_warm_state(self, state: WarmState) -> None:
        """Reads courses whose partition became warm, so that badges can show their real count again (S11)."""
        changed, self._warm = state.warm ^ self._warm, state.warm
        for course_id in self._feeds if changed else ():
            if self._partition_of(course_id) in changed:
                self._refresh_course(course_id)

    def _partition_of(self, course_id: str) -> int:
        return self._presence.keys.partition_of(course_id).number

    def refresh(self) -> None:
        """Reads all watched courses again, because reads have failed while Redis was away."""
        for course_id in self._feeds:
            self._refresh_course(course_id)

    def _on_lost_server(self, course_ids: list[str]) -> None:
        """Distrusts their partitions until the next warm state: the server may come back empty (S11)."""
        is_one = not self._presence.keys.is_partitioned
        self._warm = frozenset() if is_one else self._warm - set(map(self._partition_of, course_ids))
        self.on_lost()

    async def _first(self, listener: Listener) -> None:
        """Sends the current counts to a new listener; what others have, if the read fails or is slow."""
        fallback = asyncio.get_running_loop().call_later(KNOWN_AFTER_S, self._send_known, listener)
        try:
            for count in await self._presence.counts_or_errors(listener.courses):
                if isinstance(count, PresenceError):
                    continue  # its master is away: the count follows with the subscription
                if (feed := self._feeds.get(count.course_id)) and listener in feed.listeners:
                    feed.update(count)
                    if listener.wants(count.course_id):
                        self._refresh_viewers(feed)
        finally:
            fallback.cancel()
            self._send_known(listener)

    def _send_known(self, listener: Listener) -> None:
        for course_id in listener.courses if listener in self.listeners else ():
            self._feeds[course_id].send_known(listener)

    def _on_message(self, course_id: str, data: bytes) -> None:
        if (feed := self._feeds.get(course_id)) is None:
            return
        message = orjson.loads(data)
        message.pop("type")
        is_warming = self._partition_of(course_id) not in self._warm
        count = Count.model_construct(**message, warming=is_warming)
        if feed.latest and count.total < feed.latest.total and not is_warming:
            self._reads.start(self._verify(feed, count))
        else:
            self._apply(feed, count)

    def _apply(self, feed: Feed, count: Count) -> None:
        if feed.update(count):
            self.on_fan_out(len(feed.listeners))
            self._refresh_viewers(feed)

    async def _verify(self, feed: Feed, count: Count) -> None:
        """Reads the count, because a lower one may come from a Redis that has just lost its data (S11)."""
        with suppress(Unavailable):
            count = await self._presence.count(feed.course_id)
        self._apply(feed, count)

    def _refresh_course(self, course_id: str) -> None:
        if feed := self._feeds.get(course_id):
            self._reads.start(self._read(feed))

    async def _read(self, feed: Feed) -> None:
        feed.update(await self._presence.count(feed.course_id))
        self._refresh_viewers(feed)

    def _refresh_viewers(self, feed: Feed) -> None:
        """Starts a read of names, at most one per course; a change in the meantime causes one more."""
        if not feed.listeners.by_names:
            return
        if feed.reading:
            feed.read_again = True
        else:
            feed.reading = True
            self._reads.start(send_names(feed, self._rosters))

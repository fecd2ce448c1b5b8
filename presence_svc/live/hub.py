"""Local fan-out: one feed per course that is watched on this replica, whoever and however many listen.

web.sse attaches listeners; live.bus brings messages; live.sweeper brings the pulse. A feed's state comes
from the channel's messages and from reads at every (re)subscription; nothing here awaits a reader.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

import orjson

from ..errors import PresenceError, Unavailable
from ..model import Count
from ..store.people.counter import PeopleCounter
from ..store.presence import Presence
from ..store.roster.reader import Rosters
from ..store.shared import Pulse
from .bus import Bus
from .feed import Feed
from .listener import Listener, Selection
from .names import tell_names
from .people import PeopleFeed
from .reads import Reads

log = logging.getLogger("presence.hub")


class Hub:
    """`start` opens the subscription; `close` tells every stream to end."""

    def __init__(self, presence: Presence, rosters: Rosters, people: PeopleCounter) -> None:
        self._presence = presence
        self._rosters = rosters
        self._feeds: dict[str, Feed] = {}
        self._reads = Reads()
        self._warm: frozenset[int] = frozenset()  # partitions whose messages are the whole truth (S11)
        self._people = PeopleFeed(people)
        self.listeners: set[Listener] = set()
        self.draining = self.closing = False
        self.on_fan_out: Callable[[int], None] = lambda listeners: None
        self.on_lost: Callable[[], object] = lambda: None
        self.bus = Bus(presence.link, presence.keys, self._on_message, self._refresh_course, self._lost)

    def start(self) -> None:
        self.bus.start()

    async def stop(self) -> None:
        """Ends what runs here. Streams have been told by `close` before."""
        await self.bus.stop()
        await self._people.stop()
        await self._reads.stop()
        for feed in self._feeds.values():
            feed.close()

    def drain(self) -> None:
        """The replica is going soon: it is not ready any more, and serves as before."""
        self.draining = True

    def close(self) -> None:
        """The replica is going: every stream, also one that opens now, says goodbye and ends."""
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
        """A mailbox that gets each course's count at once and at every change, and names (see Listener).

        With `people` also how many there are over all courses.
        """
        listener = Listener(courses, viewers, chapters=chapters, is_steady=is_steady, nameless=nameless)
        self.listeners.add(listener)
        for course_id in listener.courses:
            feed = self._feeds.get(course_id)
            if feed is None:
                feed = self._feeds[course_id] = Feed(course_id)
                self.bus.add(course_id)
            feed.listeners.add(listener)
            # What others see already: a read that fails must not leave this one with nothing.
            feed.tell(listener)
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
        """Whether some low number cannot be trusted yet (S11)."""
        return len(self._warm) < len(self._presence.keys.partitions)

    def on_pulse(self, pulse: Pulse) -> None:
        """When reads can be trusted again, badges that held their number back must learn the truth (S11)."""
        changed, self._warm = pulse.warm ^ self._warm, pulse.warm
        for course_id in self._feeds if changed else ():
            if self._partition_of(course_id) in changed:
                self._refresh_course(course_id)

    def _partition_of(self, course_id: str) -> int:
        return self._presence.keys.partition_of(course_id).number

    def refresh(self) -> None:
        """Reads every feed again: what was read while Redis was away has failed."""
        for course_id in self._feeds:
            self._refresh_course(course_id)

    def _lost(self, course_ids: list[str]) -> None:
        """Their server may come back empty: before a pulse its messages are not the whole truth (S11)."""
        is_one = not self._presence.keys.is_partitioned
        self._warm = frozenset() if is_one else self._warm - set(map(self._partition_of, course_ids))
        self.on_lost()

    async def _first(self, listener: Listener) -> None:
        """What is true now goes to a new stream at once, also while its subscription is still on the way."""
        for count in await self._presence.counts_or_errors(listener.courses):
            if isinstance(count, PresenceError):
                continue  # its master is away: the subscription brings it, as soon as there is one
            if (feed := self._feeds.get(count.course_id)) and listener in feed.listeners:
                feed.update(count)
                feed.tell(listener)
                if listener.wants(count.course_id):
                    self._refresh_viewers(feed)

    def _on_message(self, course_id: str, data: bytes) -> None:
        feed = self._feeds.get(course_id)
        if feed is None:
            return
        message = orjson.loads(data)
        message.pop("type")
        is_warming = self._partition_of(course_id) not in self._warm
        count = Count.model_construct(**message, warming=is_warming)
        if feed.latest and count.total < feed.latest.total and not is_warming:
            self._reads.start(self._verify(feed, count))
        else:
            self._heard(feed, count)

    def _heard(self, feed: Feed, count: Count) -> None:
        if feed.update(count):
            self.on_fan_out(len(feed.listeners))
            self._refresh_viewers(feed)

    async def _verify(self, feed: Feed, count: Count) -> None:
        """A lower number may be that of a Redis that has just lost its data: only a read knows (S11)."""
        with suppress(Unavailable):
            count = await self._presence.count(feed.course_id)
        self._heard(feed, count)

    def _refresh_course(self, course_id: str) -> None:
        if feed := self._feeds.get(course_id):
            self._reads.start(self._read(feed))

    async def _read(self, feed: Feed) -> None:
        feed.update(await self._presence.count(feed.course_id))
        self._refresh_viewers(feed)

    def _refresh_viewers(self, feed: Feed) -> None:
        """At most one read of names under way per course; what changes meanwhile asks for one more."""
        if not feed.listeners.by_names:
            return
        if feed.reading:
            feed.read_again = True
        else:
            feed.reading = True
            self._reads.start(tell_names(feed, self._rosters))

"""Local fan-out: one feed per course that is watched on this replica, whoever and however many listen.

web.sse attaches listeners; live.bus brings messages; live.sweeper brings the pulse. A feed's state comes
from the channel's messages and from reads at every (re)subscription; nothing here awaits a reader.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from ..errors import Unavailable
from ..model import MAX_VIEWERS, Count
from ..store.people import PeopleCounter
from ..store.presence import Presence
from ..store.roster.reader import Rosters
from ..store.shared import Pulse
from .bus import Bus
from .feed import Feed
from .frame import Frame, viewers_frame
from .listener import Listener
from .people import PeopleFeed

log = logging.getLogger("presence.hub")


class Hub:
    """`start` opens the subscription; `close` tells every stream to end."""

    def __init__(self, presence: Presence, rosters: Rosters, people: PeopleCounter) -> None:
        self._presence = presence
        self._rosters = rosters
        self._feeds: dict[str, Feed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._warming = True
        self._people = PeopleFeed(people)
        self.listeners: set[Listener] = set()
        self.closing = False
        self.on_fan_out: Callable[[int], None] = lambda listeners: None
        self.on_lost: Callable[[], object] = lambda: None
        self.bus = Bus(presence.link, presence.keys, self._on_message, self._refresh_course, self._lost)

    def start(self) -> None:
        self.bus.start()

    async def stop(self) -> None:
        """Ends what runs here. Streams have been told by `close` before."""
        await self.bus.stop()
        await self._people.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for feed in self._feeds.values():
            feed.close()

    def close(self) -> None:
        """The replica is going: every stream, also one that opens now, says goodbye and ends."""
        self.closing = True
        for listener in self.listeners:
            listener.close()

    def attach(self, courses: tuple[str, ...], viewers: int, *, people: bool = False) -> Listener:
        """A mailbox that gets each course's count at once and at every change; `viewers` names if > 0.

        With `people` also how many there are over all courses.
        """
        listener = Listener(courses, min(viewers, MAX_VIEWERS))
        self.listeners.add(listener)
        for course_id in courses:
            feed = self._feeds.get(course_id)
            if feed is None:
                feed = self._feeds[course_id] = Feed(course_id)
                self.bus.add(course_id)
            feed.listeners.add(listener)
            # What others see already: a read that fails must not leave this one with nothing.
            feed.tell(listener)
        if people:
            self._people.add(listener)
        self._spawn(self._first(listener))
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

    def on_pulse(self, pulse: Pulse) -> None:
        """When reads can be trusted again, badges that held their number back must learn the truth (S11)."""
        if pulse.warming != self._warming:
            self._warming = pulse.warming
            self.refresh()

    def refresh(self) -> None:
        """Reads every feed again: what was read while Redis was away has failed."""
        for course_id in self._feeds:
            self._refresh_course(course_id)

    def _lost(self) -> None:
        """Redis may come back empty: before a pulse its messages are not the whole truth (S11)."""
        self._warming = True
        self.on_lost()

    async def _first(self, listener: Listener) -> None:
        """What is true now goes to a new stream at once, also while its subscription is still on the way."""
        for course_id, count in zip(
            listener.courses, await self._presence.counts(listener.courses), strict=True
        ):
            feed = self._feeds.get(course_id)
            if feed is None or listener not in feed.listeners:
                continue
            feed.update(count)
            feed.tell(listener)
            if listener.viewers:
                self._refresh_viewers(feed)

    def _on_message(self, course_id: str, data: bytes) -> None:
        feed = self._feeds.get(course_id)
        if feed is None:
            return
        message = orjson.loads(data)
        message.pop("type")
        if feed.update(Count.model_construct(**message, warming=self._warming)):
            self.on_fan_out(len(feed.listeners))
            self._refresh_viewers(feed)

    def _refresh_course(self, course_id: str) -> None:
        feed = self._feeds.get(course_id)
        if feed:
            self._spawn(self._read(feed))

    async def _read(self, feed: Feed) -> None:
        feed.update(await self._presence.count(feed.course_id))
        self._refresh_viewers(feed)

    def _refresh_viewers(self, feed: Feed) -> None:
        """At most one read of names under way per course; what changes meanwhile asks for one more."""
        if not feed.viewers:
            return
        if feed.reading:
            feed.read_again = True
        else:
            feed.reading = True
            self._spawn(self._viewers_until_quiet(feed))

    async def _viewers_until_quiet(self, feed: Feed) -> None:
        try:
            feed.read_again = True
            while feed.read_again and feed.listeners:
                feed.read_again = False
                await self._read_viewers(feed)
        finally:
            feed.reading = False

    async def _read_viewers(self, feed: Feed) -> None:
        roster = await self._rosters.page(feed.course_id, limit=MAX_VIEWERS)
        version = feed.latest.version if feed.latest else 0
        frames: dict[int, Frame] = {}
        for listener in feed.listeners:
            if n := listener.viewers:
                if n not in frames:
                    cut = roster.model_copy(update={"viewers": roster.viewers[:n]})
                    frames[n] = viewers_frame(feed.course_id, cut, version)
                listener.offer(frames[n])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_survive(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _survive(work: Coroutine[Any, Any, None]) -> None:
    """A read that fails is made again when the subscription is: Redis's absence ends that too."""
    try:
        await work
    except Unavailable:
        log.debug("redis is away, a read waits")
    except Exception:
        log.exception("a read failed")

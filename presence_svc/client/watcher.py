"""Watches one course or all of them, by messages and by reads. Used by changes.

A read is always right. A message is used if it is newer than the last read and its total is not lower: a
lower one may mean that Redis has just lost its data (S11), so that a read follows. Watching survives outages
of Redis, which are logged.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Iterable

import orjson

from ..errors import PresenceError, Unavailable
from ..live.bus import Bus
from ..model import Count
from ..store.agenda import Agenda
from ..store.checkup.claim import Claim
from ..store.presence import Presence

log = logging.getLogger("presence.client")
PING_S = 5.0  # between two reads while Redis is warming
LIST_S = 1.0  # between two lists of all courses
RETRY_S = (0.1, 5.0)
MOST_WAITING = 10_000  # messages; each is complete, so that the oldest can be dropped


class Watcher:
    """Collects the messages and the pending reads of one course or of all."""

    def __init__(self, presence: Presence, agenda: Agenda) -> None:
        self._presence = presence
        self._agenda = agenda
        self._courses: dict[str, CourseWatch] = {}
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=MOST_WAITING)
        self._to_read: dict[str, None] = {}  # courses that must be read, in this order
        self._woken = asyncio.Event()
        self._pause_s = RETRY_S[0]
        self._bus = Bus(presence.link, presence.keys, self._hear, self._subscribed, self._lost)
        self._listing: asyncio.Task[None] | None = None
        self._claim = Claim(presence.link, presence.keys)
        self._bus.on_marked = self._claim.release

    async def start(self, course_id: str | None) -> None:
        """Waits for Redis if it is away. Raises Misconfigured."""
        while True:
            try:
                await self._presence.link.start()
                await self._claim.make()
                break
            except Unavailable as error:
                log.warning("redis is away: %s", error.detail)
                await self._pause()
        self._bus.start()
        if course_id is None:
            self._listing = asyncio.get_running_loop().create_task(self._list())
        else:
            self._follow([course_id])

    async def stop(self) -> None:
        if self._listing:
            self._listing.cancel()
            await asyncio.gather(self._listing, return_exceptions=True)
        self._claim.release()
        await self._bus.stop()
        await self._presence.close()

    async def news(self) -> list[Count]:
        """Waits for messages or reads, and returns the Counts that are new."""
        warming = [course for course, known in self._courses.items() if known.is_warming]
        if not self._heard and not self._to_read:
            self._woken.clear()
            try:
                async with asyncio.timeout(PING_S if warming else None):
                    await self._woken.wait()
            except TimeoutError:  # only a read shows when counts can be trusted again
                self._to_read |= dict.fromkeys(warming)
        found: list[Count] = []
        while self._heard:
            course_id, data = self._heard.popleft()
            course = self._courses.get(course_id)
            if course is None or course_id in self._to_read:
                continue
            message = Count.model_validate(orjson.loads(data) | {"warming": False})
            if course.must_read_for(message):
                self._to_read[course_id] = None
            elif count := course.take(message):
                found.append(count)
        if self._to_read:
            found += await self._read()
        return found

    async def _read(self) -> list[Count]:
        asked, self._to_read = list(self._to_read), {}
        found, failed = [], False
        for course_id, count in zip(asked, await self._presence.counts_or_errors(asked), strict=True):
            course = self._courses.get(course_id)
            if course is None:
                continue
            if isinstance(count, PresenceError):
                failed = True
                self._to_read[course_id] = None
            elif (news := course.read(count)) is not None:
                found.append(news)
        if failed and not found:
            await self._pause()
        elif not failed:
            self._pause_s = RETRY_S[0]
        return found

    async def _pause(self) -> None:
        await asyncio.sleep(random.uniform(self._pause_s / 2, self._pause_s))
        self._pause_s = min(self._pause_s * 2, RETRY_S[1])

    def _hear(self, course_id: str, data: bytes) -> None:
        self._heard.append((course_id, data))
        self._woken.set()

    def _subscribed(self, course_id: str) -> None:
        self._to_read[course_id] = None
        self._woken.set()

    def _lost(self, course_ids: list[str]) -> None:
        log.warning("subscription to %s lost", ", ".join(course_ids[:3]) or "nothing")

    def _follow(self, course_ids: Iterable[str]) -> None:
        for course_id in course_ids:
            if course_id not in self._courses:
                self._courses[course_id] = CourseWatch()
                self._bus.add(course_id)

    async def _list(self) -> None:
        """Follows all courses on an agenda, and drops those that were empty and unlisted twice in a row."""
        before: set[str] = set()
        while True:
            try:
                listed = set(await self._agenda.courses())
            except Unavailable as error:
                log.debug("the courses cannot be listed: %s", error.detail)
            else:
                self._follow(sorted(listed))
                for course_id in self._courses.keys() - listed - before:
                    if self._courses[course_id].is_empty:
                        del self._courses[course_id]
                        self._bus.remove(course_id)
                before = listed
            await asyncio.sleep(LIST_S)


class CourseWatch:
    """The known state of one course, over any number of subscriptions."""

    def __init__(self) -> None:
        self._newest: Count | None = None
        self._version = 0  # of the last message or read

    @property
    def is_warming(self) -> bool:
        return self._newest is not None and self._newest.warming

    def must_read_for(self, message: Count) -> bool:
        """Whether a read must confirm a message: while warming, and when its total is lower."""
        before = self._newest
        return before is not None and (
            before.warming or (message.total < before.total and message.version > self._version)
        )

    @property
    def is_empty(self) -> bool:
        return self._newest is not None and self._newest.total == 0

    def read(self, count: Count) -> Count | None:
        """Takes a read: it is newer than every earlier message, whatever its version is."""
        self._version = count.version
        return self._keep(count)

    def take(self, count: Count) -> Count | None:
        """Takes a message, unless it is older than the last read."""
        if count.version <= self._version:
            return None
        self._version = count.version
        return self._keep(count)

    def _keep(self, count: Count) -> Count | None:
        """Keeps versions from falling when Redis has lost its data. Returns None if nothing has changed."""
        before = self._newest
        if before is not None:
            count = count.model_copy(update={"version": max(count.version, before.version)})
            if count.model_copy(update={"as_of": before.as_of}) == before:
                return None
        self._newest = count
        return count

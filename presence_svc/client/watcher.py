"""What a client watches, one course or all: what is heard, and what must be read. Used by changes.

A read tells what is true; a message is believed when it is newer than the last read, and not lower than what
was known: perhaps Redis has just lost its data (S11). It survives whatever Redis does, and says so in the
log.
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
LIST_S = 1.0  # between two looks at which courses there are
RETRY_S = (0.1, 5.0)
MOST_WAITING = 10_000  # messages; each is the whole truth, so that the oldest can go


class Watcher:
    """What is heard and what must be read, of one course or of all."""

    def __init__(self, presence: Presence, agenda: Agenda) -> None:
        self._presence = presence
        self._agenda = agenda
        self._courses: dict[str, CourseWatch] = {}
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=MOST_WAITING)
        self._to_read: dict[str, None] = {}  # in the order in which it became time to
        self._woken = asyncio.Event()
        self._pause_s = RETRY_S[0]
        self._bus = Bus(presence.link, presence.keys, self._hear, self._subscribed, self._lost)
        self._listing: asyncio.Task[None] | None = None
        self._claim = Claim(presence.link, presence.keys)
        self._bus.on_marked = self._claim.release

    async def start(self, course_id: str | None) -> None:
        """Raises Misconfigured; a Redis that is away is waited for."""
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
        """Waits until there may be something new, and says what is."""
        warming = [course for course, known in self._courses.items() if known.is_warming]
        if not self._heard and not self._to_read:
            self._woken.clear()
            try:
                async with asyncio.timeout(PING_S if warming else None):
                    await self._woken.wait()
            except TimeoutError:  # only a read tells that Redis is to be trusted again
                self._to_read |= dict.fromkeys(warming)
        found: list[Count] = []
        while self._heard:
            course_id, data = self._heard.popleft()
            course = self._courses.get(course_id)
            if course is None or course_id in self._to_read:
                continue
            said = Count.model_validate(orjson.loads(data) | {"warming": False})
            if course.must_read_for(said):
                self._to_read[course_id] = None
            elif count := course.take(said):
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
        """Follows the courses that are on an agenda, and lets go those that have been empty for two looks."""
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
    """One course as its watcher knows it, over any number of subscriptions."""

    def __init__(self) -> None:
        self._newest: Count | None = None
        self._version = 0  # of what was last heard or read

    @property
    def is_warming(self) -> bool:
        return self._newest is not None and self._newest.warming

    def must_read_for(self, said: Count) -> bool:
        """Whether a message is not to be believed before a read: while warming, and when it says less."""
        before = self._newest
        return before is not None and (
            before.warming or (said.total < before.total and said.version > self._version)
        )

    @property
    def is_empty(self) -> bool:
        return self._newest is not None and self._newest.total == 0

    def read(self, count: Count) -> Count | None:
        """A read is newer than all that was heard before it, whatever version Redis remembers."""
        self._version = count.version
        return self._keep(count)

    def take(self, count: Count) -> Count | None:
        """A message that was on its way while we read is older than what we read."""
        if count.version <= self._version:
            return None
        self._version = count.version
        return self._keep(count)

    def _keep(self, count: Count) -> Count | None:
        """Redis forgets a version when it loses its data: to our reader it must not fall back."""
        before = self._newest
        if before is not None:
            count = count.model_copy(update={"version": max(count.version, before.version)})
            if count.model_copy(update={"as_of": before.as_of}) == before:
                return None
        self._newest = count
        return count

"""For Python services: async iterators over the changes of a course, or of all courses, straight from Redis.

Also what `presence-svc watch` is made of. Needs no running replica to talk to, only Redis: one server, Sentinels
or a Cluster, as PRESENCE_REDIS_URL names them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing

import orjson
from pydantic import TypeAdapter

from .errors import PresenceError, Unavailable
from .live.bus import Bus
from .model import Count, Id
from .settings import Settings, load_beside_others
from .store.agenda import Agenda
from .store.presence import Presence
from .store.redis.factory import open_link

__all__ = ["Count", "watch", "watch_all"]

log = logging.getLogger("presence.client")
TIMEOUT_S = 2.0
PING_S = 5.0
LIST_S = 1.0  # between two looks at which courses there are
RETRY_S = (0.1, 5.0)
MOST_WAITING = 10_000  # messages; each is the whole truth, so that the oldest can go


async def watch(
    redis_url: str, course_id: str, *, key_prefix: str | None = None, partitions: int | None = None
) -> AsyncIterator[Count]:
    """Yields what is true now, then the new Count at each change, without an end.

        async for count in watch("redis://localhost", "python-101"):
            print(count.total, count.chapters)

    While Redis is away it tries again, at most 5 s apart; when Redis is back it yields what is true
    then. A Count with `warming` is not to be trusted yet: Redis has lost its data less than a lease
    ago. `key_prefix` is by default PRESENCE_KEY_PREFIX, or `presence`, and `partitions` (of a Cluster)
    PRESENCE_PARTITIONS, or 256. To end it early, cancel the task, or hold the iterator in
    `contextlib.aclosing`. Raises ValueError for a malformed id, Misconfigured for another kind of Redis.
    """
    TypeAdapter(Id).validate_python(course_id)
    async with aclosing(_watch(_settings(redis_url, key_prefix, partitions), course_id)) as counts:
        async for count in counts:
            yield count


async def watch_all(
    redis_url: str, *, key_prefix: str | None = None, partitions: int | None = None
) -> AsyncIterator[Count]:
    """The same for every course: those there are, those to come (a second later), each change of each.

    A course that has emptied is yielded with a total of 0 and then forgotten. Costs a list of all courses per
    second, and a subscription for each.
    """
    async with aclosing(_watch(_settings(redis_url, key_prefix, partitions), None)) as counts:
        async for count in counts:
            yield count


def _settings(redis_url: str, key_prefix: str | None, partitions: int | None) -> Settings:
    named = {"key_prefix": key_prefix, "partitions": partitions}
    return load_beside_others(
        redis_url=redis_url, **{name: value for name, value in named.items() if value is not None}
    )


async def _watch(settings: Settings, course_id: str | None) -> AsyncGenerator[Count, None]:
    link = open_link(settings, timeout_s=TIMEOUT_S, may_write=False)
    watcher = _Watcher(Presence(link, settings), Agenda(link, settings))
    try:
        await watcher.start(course_id)
        while True:
            for count in await watcher.news():
                yield count
    finally:
        await watcher.stop()
        await link.close()


class _Watcher:
    """What is heard and what must be read, of one course or of all."""

    def __init__(self, presence: Presence, agenda: Agenda) -> None:
        self._presence = presence
        self._agenda = agenda
        self._courses: dict[str, _Course] = {}
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=MOST_WAITING)
        self._to_read: dict[str, None] = {}  # in the order in which it became time to
        self._woken = asyncio.Event()
        self._pause_s = RETRY_S[0]
        self._bus = Bus(presence.link, presence.keys, self._hear, self._subscribed, self._lost)
        self._listing: asyncio.Task[None] | None = None

    async def start(self, course_id: str | None) -> None:
        """Raises Misconfigured; a Redis that is away is waited for."""
        while True:
            try:
                await self._presence.link.start()
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
            if course.is_warming:
                self._to_read[course_id] = None
            elif count := course.take(Count.model_validate(orjson.loads(data) | {"warming": False})):
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
                self._courses[course_id] = _Course()
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


class _Course:
    """One course as its watcher knows it, over any number of subscriptions."""

    def __init__(self) -> None:
        self._newest: Count | None = None
        self._version = 0  # of what was last heard or read

    @property
    def is_warming(self) -> bool:
        return self._newest is not None and self._newest.warming

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

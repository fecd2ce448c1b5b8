"""For Python services: an async iterator over the changes of a course, straight from Redis.

Also what `presence-svc watch` is made of. Needs no running replica to talk to, only Redis.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
from pydantic import TypeAdapter
from redis.exceptions import RedisError

from ..errors import Unavailable
from ..model import Count, Id
from ..settings import load_beside_others
from ..store.presence import Presence
from ..store.redis.factory import link_to

__all__ = ["Count", "watch"]

log = logging.getLogger("presence.client")
TIMEOUT_S = 2.0
PING_S = 5.0
RETRY_S = (0.1, 5.0)
_LOST = (RedisError, OSError, TimeoutError, Unavailable)


async def watch(redis_url: str, course_id: str, *, key_prefix: str | None = None) -> AsyncIterator[Count]:
    """Yields what is true now, then the new Count at each change, without an end.

        async for count in watch("redis://localhost", "python-101"):
            print(count.total, count.chapters)

    While Redis is away it tries again, at most 5 s apart; when Redis is back it yields what is true
    then. A Count with `warming` is not to be trusted yet: Redis has lost its data less than a lease
    ago. `key_prefix` is by default PRESENCE_KEY_PREFIX, or `presence`. To end it early, cancel the
    task, or hold the iterator in `contextlib.aclosing`. Raises ValueError for a malformed id.
    """
    TypeAdapter(Id).validate_python(course_id)
    named = {} if key_prefix is None else {"key_prefix": key_prefix}
    settings = load_beside_others(redis_url=redis_url, **named)
    link = link_to(redis_url, timeout_s=TIMEOUT_S)
    course = _Course(course_id, Presence(link, settings))
    pause_s = RETRY_S[0]
    try:
        while True:
            try:
                async with aclosing(course.counts()) as counts:
                    async for count in counts:
                        pause_s = RETRY_S[0]
                        yield count
            except _LOST as error:
                log.warning("subscription to %s lost: %s", course_id, str(error) or type(error).__name__)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(pause_s * 2, RETRY_S[1])
    finally:
        await link.close()


class _Course:
    """One course as its watcher knows it, over any number of subscriptions."""

    def __init__(self, course_id: str, presence: Presence) -> None:
        self._course_id = course_id
        self._presence = presence
        self._newest: Count | None = None
        self._version = 0  # of what this subscription has last heard or read

    async def counts(self) -> AsyncGenerator[Count, None]:
        """One subscription's life. Raises one of _LOST at its end, also when it went silent."""
        pubsub = self._presence.link.pubsub()
        async with pubsub:
            await pubsub.subscribe(self._presence.keys.channel(self._course_id))
            asked = False
            while True:
                message = await pubsub.get_message(timeout=TIMEOUT_S if asked else PING_S)
                if message is None and asked:
                    raise ConnectionError(f"no answer for {PING_S + TIMEOUT_S:.0f} s")
                asked = message is None
                if asked:
                    await pubsub.ping()
                    if (count := self._newest) and count.warming and (count := await self._reread()):
                        yield count
                elif count := await self._hear(message):
                    yield count

    async def _hear(self, message: dict[str, Any]) -> Count | None:
        """Something new, or None. Reads when the subscription stands, while warming, and what is lower."""
        if message["type"] == "subscribe" or (self._newest and self._newest.warming):
            return await self._reread()
        if message["type"] != "message":
            return None
        said = Count.model_validate(orjson.loads(message["data"]) | {"warming": False})
        if (
            self._newest and said.total < self._newest.total and said.version > self._version
        ):  # perhaps Redis has just lost its data (S11)
            return await self._reread()
        return self._take(said)

    async def _reread(self) -> Count | None:
        return self._read(await self._presence.count(self._course_id))

    def _read(self, count: Count) -> Count | None:
        """A read is newer than all that was heard before it, whatever version Redis remembers."""
        self._version = count.version
        return self._keep(count)

    def _take(self, count: Count) -> Count | None:
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

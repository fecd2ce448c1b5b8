"""For Python services: async iterators over the changes of a course, or of all courses, straight from Redis.

Also used by `presence-svc watch`. They need no running replica, only Redis: one server, Sentinels or a
Cluster, with the same URLs as PRESENCE_REDIS_URL.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from pydantic import TypeAdapter

from ..model import Count, Id
from ..settings import Settings, load_beside_others
from ..store.agenda import Agenda
from ..store.presence import Presence
from ..store.redis.factory import open_link
from .watcher import Watcher

TIMEOUT_S = 2.0


async def watch(
    redis_url: str, course_id: str, *, key_prefix: str | None = None, partitions: int | None = None
) -> AsyncIterator[Count]:
    """Yields the current Count, and then a new one for each change, without end.

        async for count in watch("redis://localhost", "python-101"):
            print(count.total, count.chapters)

    While Redis is away it retries at least every 5 s; when Redis is back it yields the Count of that moment.
    A Count with `warming` cannot be trusted yet: Redis lost its data less than a lease ago. `key_prefix` is
    by default PRESENCE_KEY_PREFIX, or `presence`, and `partitions` (of a Cluster) PRESENCE_PARTITIONS or 256.
    To end it early, cancel the task, or use `contextlib.aclosing`. Raises ValueError for a malformed id,
    Misconfigured for another kind of Redis.
    """
    TypeAdapter(Id).validate_python(course_id)
    async with aclosing(_watch(_settings(redis_url, key_prefix, partitions), course_id)) as counts:
        async for count in counts:
            yield count


async def watch_all(
    redis_url: str, *, key_prefix: str | None = None, partitions: int | None = None
) -> AsyncIterator[Count]:
    """The same for every course, including those that appear later (within about a second).

    A course that becomes empty is yielded with a total of 0 and then forgotten. This lists all courses every
    second, and subscribes to each.
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
    watcher = Watcher(Presence(link, settings), Agenda(link, settings))
    try:
        await watcher.start(course_id)
        while True:
            for count in await watcher.news():
                yield count
    finally:
        await watcher.stop()
        await link.close()

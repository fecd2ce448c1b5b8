"""A clock of Redis's that tests turn: the scripts read the time from a key, and short minutes make long days.

Used by tests of history only. Nothing else in the scripts changes; expiries go by Redis's own clock still.
On a Cluster every partition has such a key, as its master has a clock.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from redis.asyncio import Redis

from presence_svc.settings import Settings
from presence_svc.store import scripts
from presence_svc.store.keys import Keys, Partition
from presence_svc.store.scripts import Script
from tests.store.cluster_client import ClusterClient
from tests.store.replica import Replica

NOW = "test:now"
READ = f"local function clock() return tonumber(redis.call('GET', '{NOW}')) end\n"
READ_THERE = (
    "local function clock()"
    f" return tonumber(redis.call('GET', string.match(KEYS[1], '{{.-}}') .. ':{NOW}')) end\n"
)
PARTITIONS = 8
LINES = re.compile(r"(local STEPS, LINES = \d+), \d+")
MINUTE = 1_000
QUARTER, HOUR, DAY = 15 * MINUTE, 60 * MINUTE, 1_440 * MINUTE
START = 4_102_444_800_000 - 4_102_444_800_000 % DAY  # about 2100: what expires by then expires in no test


class ShortMinutes(Settings):
    """A minute takes a second, and so a day takes 24 minutes."""

    minute_ms: ClassVar[int] = MINUTE


def _turned(script: Script, read: str, lines: int | None) -> Script:
    before, found, rest = script.text.partition("local function clock()")
    if not found:
        return script
    text = before + read + rest[rest.index("\nend\n") + 5 :]
    if lines:
        text = LINES.sub(rf"\1, {lines}", text)
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    sharded = _turned(script.sharded, read, lines) if script.sharded else None
    return dataclasses.replace(script, text=text, sha=sha, sharded=sharded)


@contextmanager
def turned_clock(*, on_a_cluster: bool = False, lines: int | None = None) -> Iterator[None]:
    """While it lasts all scripts ask the key; a call that closes minutes writes so many chapters at most."""
    read = READ_THERE if on_a_cluster else READ
    originals = {name: one for name, one in vars(scripts).items() if isinstance(one, Script)}
    try:
        for name, one in originals.items():
            setattr(scripts, name, _turned(one, read, lines))
        yield
    finally:
        for name, one in originals.items():
            setattr(scripts, name, one)


def replica(redis: Redis | ClusterClient, **settings: Any) -> Replica:
    """A replica with history, people and short minutes."""
    where = {"partitions": PARTITIONS} if isinstance(redis, ClusterClient) else {}
    made = Replica(redis, **where, **settings)
    kept = {"history_minutes": "6h", "history_quarters": "1d", "history_days": "30d"}
    if isinstance(redis, ClusterClient):
        kept["redis_url"] = redis.url
    made.use(ShortMinutes(**{"history": True, "people": True} | kept | where | settings))
    return made


async def set_clock(redis: Redis | ClusterClient, now: int) -> None:
    for name in _names(redis):
        await redis.set(name, now)


async def get_clock(redis: Any) -> int:
    return int(await redis.get(_names(redis)[0]))


def _names(redis: Redis | ClusterClient) -> list[str]:
    if not isinstance(redis, ClusterClient):
        return [NOW]
    return [clock_of(partition) for partition in Keys("presence", PARTITIONS).partitions]


def clock_of(partition: Partition) -> str:
    """The key that scripts about this partition read."""
    return f"{{{partition.tag}}}:{NOW}"

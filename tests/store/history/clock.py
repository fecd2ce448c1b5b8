"""A clock of Redis's that tests turn: the scripts read the time from a key, and short minutes make long days.

Used by tests of history only. Nothing else in the scripts changes; expiries go by Redis's own clock still.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from redis.asyncio import Redis

from presence_svc.settings import Settings
from presence_svc.store import scripts
from presence_svc.store.scripts import Script
from tests.store.replica import Replica

NOW = "test:now"
READ = f"local function clock() return tonumber(redis.call('GET', '{NOW}')) end\n"
MINUTE = 1_000
QUARTER, HOUR, DAY = 15 * MINUTE, 60 * MINUTE, 1_440 * MINUTE
START = 4_102_444_800_000 - 4_102_444_800_000 % DAY  # about 2100: what expires by then expires in no test


class ShortMinutes(Settings):
    """A minute takes a second, and so a day takes 24 minutes."""

    minute_ms: ClassVar[int] = MINUTE


def _turned(script: Script) -> Script:
    before, found, rest = script.text.partition("local function clock()")
    if not found:
        return script
    text = before + READ + rest[rest.index("\nend\n") + 5 :]
    return dataclasses.replace(
        script, text=text, sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    )


@contextmanager
def turned_clock() -> Iterator[None]:
    """While it lasts all scripts ask the key."""
    originals = {name: one for name, one in vars(scripts).items() if isinstance(one, Script)}
    try:
        for name, one in originals.items():
            setattr(scripts, name, _turned(one))
        yield
    finally:
        for name, one in originals.items():
            setattr(scripts, name, one)


def replica(redis: Redis, **settings: Any) -> Replica:
    """A replica with history, people and short minutes."""
    made = Replica(redis, **settings)
    kept = {"history_minutes": "6h", "history_quarters": "1d", "history_days": "30d"}
    made.use(ShortMinutes(**{"history": True, "people": True} | kept | settings))
    return made


async def set_clock(redis: Redis, now: int) -> None:
    await redis.set(NOW, now)

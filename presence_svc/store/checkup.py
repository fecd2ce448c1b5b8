"""What can be wrong with a Redis and with the data in it, found without changing anything.

Called by `presence-svc doctor`. Bounded: it looks at a sample of at most SAMPLE viewers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ..errors import Unavailable
from .keys import Keys

OLDEST = (7, 0)
CLOCK_LIMIT_MS = 5_000
SAMPLE = 10_000
SCANS = 1_000
PAGE = 1_000
SECOND_LOOK_S = 0.3


class Finding(NamedTuple):
    """One thing that was looked at. `warns`: nothing is wrong, but somebody should know."""

    fine: bool
    what: str
    detail: str
    warns: bool = False


async def examine(redis: Redis, keys: Keys, *, keeps_history: bool = False) -> list[Finding]:
    """All findings about one Redis. Raises Unavailable when it does not answer."""
    try:
        began = time.perf_counter()
        await redis.ping()
        took_ms = (time.perf_counter() - began) * 1000
        info = await redis.info()
        return [
            Finding(True, "reachable", f"answered in {took_ms:.1f} ms"),
            _version(info),
            _eviction(info),
            *([await _persistence(redis)] if keeps_history else []),
            await _clock(redis),
            await _consistency(redis, keys),
        ]
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"Redis: {str(error) or type(error).__name__}") from error


def _version(info: dict[str, Any]) -> Finding:
    """Valkey says which Redis it is like, and its own version beside that."""
    version = str(info["redis_version"])
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    major, minor = (int(part) for part in version.split(".")[:2])
    fine = (major, minor) >= OLDEST
    return Finding(fine, "version", name if fine else f"{name} is too old: 7.0 at least")


def _eviction(info: dict[str, Any]) -> Finding:
    policy = str(info["maxmemory_policy"])
    if policy == "noeviction":
        return Finding(True, "eviction", policy)
    return Finding(
        False,
        "eviction",
        f"maxmemory-policy is {policy}: Redis may drop parts of a course when memory is short,"
        " set it to noeviction",
    )


async def _persistence(redis: Redis) -> Finding:
    """Presence heals within a lease; history that is gone is gone."""
    try:
        found = await redis.config_get("appendonly", "save")
    except ResponseError:  # a managed service that lets nobody ask
        return Finding(True, "persistence", "cannot be asked here: see that a restart keeps the data")
    if found.get("appendonly") == "yes":
        return Finding(True, "persistence", "an append-only file: history outlives a restart")
    if found.get("save"):
        return Finding(True, "persistence", "snapshots: a restart loses history since the last one")
    return Finding(
        True,
        "persistence",
        "Redis keeps nothing over a restart, and PRESENCE_HISTORY is on: set appendonly yes, collect the"
        " export (docs/history.md), or set PRESENCE_HISTORY=off",
        warns=True,
    )


async def _clock(redis: Redis) -> Finding:
    """Leases go by Redis's clock alone (S3); tokens and logs go by ours."""
    before_ms = time.time() * 1000
    seconds, micros = await redis.time()
    here_ms = (before_ms + time.time() * 1000) / 2
    apart_ms = seconds * 1000 + micros / 1000 - here_ms
    return Finding(abs(apart_ms) <= CLOCK_LIMIT_MS, "clock", f"Redis is {apart_ms:+.0f} ms from here")


async def _consistency(redis: Redis, keys: Keys) -> Finding:
    """Whoever is in a course's set has a hash, and the other way round."""
    pairs = await _listed(redis, keys) | await _hashed(redis, keys)
    wrong = await _wrong(redis, keys, pairs)
    if wrong:  # perhaps one that came or went between the two looks at it
        await asyncio.sleep(SECOND_LOOK_S)
        wrong = await _wrong(redis, keys, wrong)
    if not wrong:
        return Finding(True, "consistency", f"{len(pairs):,} viewers have their key and their place")
    shown = ", ".join(f"{viewer_id} in {course_id}" for course_id, viewer_id in sorted(wrong)[:5])
    return Finding(
        False, "consistency", f"{len(wrong):,} of {len(pairs):,} viewers have one without: {shown}"
    )


async def _listed(redis: Redis, keys: Keys) -> set[tuple[str, str]]:
    """(course, viewer) of a sample of those whose lease in a course's set has not ended."""
    found: set[tuple[str, str]] = set()
    async for key in _scan(redis, f"{keys.prefix}:{{*}}:viewers"):
        course_id = key[len(keys.prefix) + 2 : -len("}:viewers")]
        now = await _now_ms(redis)
        room = SAMPLE - len(found)
        alive = await redis.zrangebyscore(key, now, "+inf", start=0, num=room)
        found |= {(course_id, _text(member)) for member in alive}
        if len(found) >= SAMPLE:
            break
    return found


async def _hashed(redis: Redis, keys: Keys) -> set[tuple[str, str]]:
    """(course, viewer) of a sample of the viewers' hashes."""
    found: set[tuple[str, str]] = set()
    async for key in _scan(redis, f"{keys.prefix}:{{*}}:viewer:*"):
        course_id, _, viewer_id = key[len(keys.prefix) + 2 :].partition("}:viewer:")
        found.add((course_id, viewer_id))
        if len(found) >= SAMPLE:
            break
    return found


async def _scan(redis: Redis, pattern: str) -> AsyncIterator[str]:
    cursor = 0
    for _ in range(SCANS):
        cursor, names = await redis.scan(cursor, match=pattern, count=PAGE)
        for name in names:
            yield _text(name)
        if cursor == 0:
            return


async def _wrong(redis: Redis, keys: Keys, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those who are in the set and have no hash, or have one and are not in the set."""
    wrong = set()
    ordered = sorted(pairs)
    for start in range(0, len(ordered), PAGE):
        part = ordered[start : start + PAGE]
        pipe = redis.pipeline()  # in one transaction: nothing happens between the two questions
        pipe.time()
        for course_id, viewer_id in part:
            pipe.zscore(keys.course(course_id).viewers, viewer_id)
            pipe.exists(keys.viewer(course_id, viewer_id))
        (seconds, micros), *answers = await pipe.execute()
        now = seconds * 1000 + micros // 1000
        for pair, ends, hashed in zip(part, answers[::2], answers[1::2], strict=True):
            if (ends is not None and ends > now) != bool(hashed):
                wrong.add(pair)
    return wrong


async def _now_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return int(seconds * 1000 + micros // 1000)


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)

"""Checks that every viewer in a course's set has a hash, and the other way round. Called by examine.

Bounded: it checks a sample of at most SAMPLE viewers.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any

from redis.asyncio import Redis

from ..keys import Keys
from .finding import CheckContext, Finding

SAMPLE = 10_000
SCANS = 1_000
PAGE = 1_000
SECOND_LOOK_S = 0.3


async def consistency(redis: Redis, context: CheckContext) -> list[Finding]:
    """Checks that every viewer in a course's set has a hash, and the other way round."""
    keys = context.keys
    pairs = await _listed(redis, keys) | await _hashed(redis, keys)
    wrong = await _wrong(redis, keys, pairs)
    if wrong:  # they may have joined or left between the two reads
        await asyncio.sleep(SECOND_LOOK_S)
        wrong = await _wrong(redis, keys, wrong)
    if not wrong:
        return [
            Finding(
                True, "consistency", f"{len(pairs):,} viewers have a hash and an entry in their course's set"
            )
        ]
    shown = ", ".join(f"{viewer_id} in {course_id}" for course_id, viewer_id in sorted(wrong)[:5])
    detail = f"{len(wrong):,} of {len(pairs):,} viewers have only one of hash and set entry: {shown}"
    return [Finding(False, "consistency", detail)]


async def _listed(redis: Redis, keys: Keys) -> set[tuple[str, str]]:
    """(course, viewer) of a sample of those whose lease in a course's set has not ended."""
    found: set[tuple[str, str]] = set()
    async for key in _scan(redis, keys.pattern("viewers")):
        course_id = keys.course_of(key, "viewers")
        now = await _now_ms(redis)
        alive = await redis.zrangebyscore(key, now, "+inf", start=0, num=SAMPLE - len(found))
        found |= {(course_id, _text(member)) for member in alive}
        if len(found) >= SAMPLE:
            break
    return found


async def _hashed(redis: Redis, keys: Keys) -> set[tuple[str, str]]:
    """(course, viewer) of a sample of the viewers' hashes."""
    found: set[tuple[str, str]] = set()
    async for key in _scan(redis, keys.pattern("viewer:*")):
        found.add(keys.viewer_of(key))
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
    partitions: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for pair in sorted(pairs):
        partitions[keys.partition_of(pair[0]).number].append(pair)
    for ordered in partitions.values():
        for start in range(0, len(ordered), PAGE):
            wrong |= await _wrong_of(redis, keys, ordered[start : start + PAGE])
    return wrong


async def _wrong_of(redis: Redis, keys: Keys, pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    pipe = redis.pipeline()  # a transaction, so that nothing changes between the two reads
    pipe.time()
    for course_id, viewer_id in pairs:
        pipe.zscore(keys.course(course_id).viewers, viewer_id)
        pipe.exists(keys.viewer(course_id, viewer_id))
    (seconds, micros), *answers = await pipe.execute()
    now = seconds * 1000 + micros // 1000
    found = zip(pairs, answers[::2], answers[1::2], strict=True)
    return {pair for pair, ends, hashed in found if (ends is not None and ends > now) != bool(hashed)}


async def _now_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return int(seconds * 1000 + micros // 1000)


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)

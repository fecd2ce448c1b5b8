"""Looks at every key in Redis and says what contradicts the data model of store/keys.py. For tests.

What has lapsed and not been swept may still stand in a set; nothing that is alive may be missing or differ.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from redis.asyncio import Redis

from tests.store.cluster_client import ClusterClient, masters_of

STRETCH = 2**42
OF_PARTITIONS = {"agenda", "since"}
Scores = dict[str, int]


async def audit(redis: Redis | ClusterClient, *, prefix: str = "presence") -> list[str]:
    """Contradictions, in words; none is right. Reads everything: for small worlds."""
    wrong = []
    for client in masters_of(redis):
        found: list[Any] = await client.keys(f"{prefix}:*")
        names = sorted(name.decode() for name in found)
        wrong += await _mortal(client, names, prefix)
        for base in sorted({base for name in names if (base := _base(name))}):
            wrong += await _course(client, base, names)
    return wrong


def _base(name: str) -> str:
    """What all names of a course begin with: P:{C}: or P:{T}:C: (ids of tests hold no colon)."""
    head, brace, rest = name.partition("}:")
    first, colon, _ = rest.partition(":")
    if not brace or rest in OF_PARTITIONS:
        return ""
    is_of_one = first in ("viewer", "left") or not colon
    return f"{head}}}:" if is_of_one else f"{head}}}:{first}:"


async def _mortal(redis: Redis, names: list[str], prefix: str) -> list[str]:
    """S12: every key has an expiry but the agenda."""
    pipe = redis.pipeline(transaction=False)  # of many slots
    for name in names:
        pipe.pttl(name)
    lives = zip(names, await pipe.execute(), strict=True)
    return [f"{name} lives for ever" for name, ttl in lives if ttl == -1 and ":agenda" not in name]


async def _course(redis: Redis, base: str, names: list[str]) -> list[str]:
    pipe = redis.pipeline()  # one transaction: one moment
    pipe.time()
    for name in ("viewers", "places", "anonymous"):
        pipe.zrange(f"{base}{name}", 0, -1, withscores=True)
    pipe.hgetall(f"{base}chapters")
    hashes = [name for name in names if name.startswith(f"{base}viewer:")]
    for name in hashes:
        pipe.hgetall(name)
    (seconds, micros), viewers, places, anonymous, chapters, *records = await pipe.execute()
    now = seconds * 1000 + micros // 1000
    known = {int(place): chapter.decode() for chapter, place in chapters.items()}
    wrong = [f"{base}chapters has one place twice"] if len(known) != len(chapters) else []
    expected = _expected(now, [name.split(":viewer:", 1)[1] for name in hashes], records)
    found = {
        "viewers": {member.decode(): int(score) for member, score in viewers},
        "places": {member.decode(): int(score) for member, score in places},
        "anonymous": {member.decode(): int(score) for member, score in anonymous},
    }
    for kind, scores in expected.items():
        alive = {m: s for m, s in found[kind].items() if s % STRETCH > now}
        if alive != scores:
            wrong.append(f"{base}{kind} is {alive}, the records say {scores}")
    for member in expected["places"]:
        if int(member.split(" ")[0]) not in known:
            wrong.append(f"{base}places has {member}, of no chapter")
    return wrong


def _expected(now: int, viewers: list[str], records: list[dict[bytes, bytes]]) -> dict[str, Scores]:
    """The scores that the viewers' records ask for: for each the largest lease behind it."""
    scores: dict[str, Scores] = {"viewers": defaultdict(int), "places": {}, "anonymous": {}}
    for viewer, fields in zip(viewers, records, strict=True):
        for session, record in fields.items():
            if not session.startswith(b"s:"):
                continue
            lease, _, place, flags, *_ = record.decode().split(" ")
            if (ends := int(lease)) <= now:
                continue
            _raise(scores["viewers"], viewer, ends)
            if int(place):
                _raise(scores["places"], f"{place} {viewer}", int(place) * STRETCH + ends)
            if flags[1] == "a":
                _raise(scores["anonymous"], viewer, ends)
    return scores


def _raise(scores: Scores, member: str, score: int) -> None:
    scores[member] = max(scores.get(member, 0), score)

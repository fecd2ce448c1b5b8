"""All history in a Redis, read from the raw keys and without the code that answers for it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.store.cluster_client import ClusterClient
from tests.store.history.oracle import Minute, Room

Tier = dict[tuple[Room, int], Minute]


@dataclass
class Kept:
    minutes: Tier = field(default_factory=dict)
    quarters: Tier = field(default_factory=dict)
    days: Tier = field(default_factory=dict)
    uniques: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    counted: dict[tuple[str, int], int] = field(default_factory=dict)
    closed: list[tuple[str, int]] = field(default_factory=list)
    torn: int = 0  # minutes, quarters and days that are called partial


async def read(redis: Any, prefix: str = "presence", *, uniques: str = "") -> Kept:
    kept, numbers = Kept(), defaultdict[str, dict[str, str]](dict)
    is_cluster = isinstance(redis, ClusterClient)
    found: list[bytes] = await redis.keys(f"{prefix}:{{*}}:*numbers")
    for name in found:
        course, _, _ = _split(name.decode(), prefix, is_cluster=is_cluster)
        numbers[course] = {n.decode(): chapter.decode() for chapter, n in (await redis.hgetall(name)).items()}
    for key in [one.decode() for one in await redis.keys(f"{prefix}:*")]:
        course, kind, number = _split(key, prefix, is_cluster=is_cluster)
        chapters = numbers[course]
        if kind == "minutes":
            for line in (await redis.get(key) or b"").decode().splitlines():
                minute, peak, area, *chapter = line.split(" ")
                room = (course, chapters[chapter[0]] if chapter else "")
                at = (room, int(number) * 60 + int(minute))
                assert at not in kept.minutes, "a minute was written twice"
                kept.minutes[at] = _minute(kept, peak, area)
        elif kind in ("quarters", "days"):
            tier, size = (kept.quarters, 96) if kind == "quarters" else (kept.days, 365)
            for slot, value in (await redis.hgetall(key)).items():
                one, _, chapter_n = slot.decode().partition(".")
                if chapter_n != "u":
                    room = (course, chapters[chapter_n] if chapter_n else "")
                    tier[room, int(number) * size + int(one)] = _minute(kept, *value.decode().split(" "))
        elif kind == "uniques":
            if uniques == "count":
                kept.counted[course, int(number)] = await redis.pfcount(key)
            elif await redis.type(key) == b"set":
                kept.uniques[course, int(number)] = {one.decode() for one in await redis.smembers(key)}
        elif kind == "closed":
            for line in (await redis.get(key) or b"").decode().splitlines():
                kept.closed.append((line.split(" ")[0], int(line.split(" ")[1])))
    return kept


def _split(key: str, prefix: str, *, is_cluster: bool) -> tuple[str, str, str]:
    """Course, kind and number of P:{C}:minutes:H and P:{T}:C:minutes:H; P:closed:Q has no course."""
    tag, brace, rest = key.removeprefix(f"{prefix}:").removeprefix("{").partition("}:")
    if not brace or (is_cluster and rest.startswith("closed:")):
        course, rest = "", rest or tag
    elif is_cluster:
        course, _, rest = rest.partition(":")
    else:
        course = tag
    kind, _, number = rest.partition(":")
    return course, kind, number


def _minute(kept: Kept, peak: str, area: str) -> Minute:
    kept.torn += area.endswith("!")
    return Minute(int(peak), int(area.removesuffix("!")))

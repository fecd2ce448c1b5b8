"""Gaps: times in which nothing was recorded in a partition, so that its minutes are unknown (S13).

Used by store.history.reader and export. On a Cluster each partition has the gaps of its own master.
"""

from __future__ import annotations

from ...settings import Settings
from ..agenda import gap_ms
from ..keys import Partition
from ..redis.link import Command
from .series import Gap, merged

BEFORE = -(2**60)


def gap_commands(partition: Partition) -> list[Command]:
    """The commands whose replies `gaps_of` takes."""
    return [("HMGET", partition.heard, "first", "last"), ("LRANGE", partition.gaps, 0, -1)]


def gaps_of(settings: Settings, now: int, heard: list[bytes | None], recorded: list[bytes]) -> list[Gap]:
    """The time before history began, the recorded gaps, and the time since the last sweep; merged, in ms."""
    first, last = heard
    gaps: list[Gap] = [_gap(text) for text in recorded]
    gaps.append((BEFORE, int(first) + settings.ttl_ms if first else now))
    if last and now - int(last) > gap_ms(settings):
        gaps.append((int(last), now))
    return merged(gaps)


def _gap(text: bytes) -> Gap:
    begin, end = text.split(b" ")
    return int(begin), int(end)

"""Gaps: times in which nothing was recorded in a partition, so that its minutes are unknown (S13).

Used by store.history.reader and export. On a Cluster each partition has the gaps of its own master.
"""

from __future__ import annotations

from ...settings import Settings
from ..keys import Partition
from ..redis.link import Command
from .series import Gap, merged

BEFORE = -(2**60)
GAP_MS = 3_000


def gap_ms(settings: Settings) -> int:
    """If no replica has asked what is due for longer than this, none ran, or Redis was away: a gap."""
    return max(GAP_MS, round(settings.sweep_interval * 3000))


def gap_args(settings: Settings) -> tuple[int, int, int, int]:
    """The arguments about gaps of due.lua, in ms."""
    # A gap shorter than TTL - HEARTBEAT_INTERVAL ends no lease, because leases from before it last longer.
    outlived = max(1, settings.ttl_ms - round(settings.heartbeat_interval * 1000))
    return gap_ms(settings), outlived, settings.ttl_ms, settings.days_ms


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

"""What replicas share besides presence: since when heartbeats were recorded without a gap, and a secret.

Called by live.sweeper at every pass. Both are stored in Redis, expire, and are made again when lost.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from ..errors import PresenceError, Unavailable
from ..settings import Settings
from . import scripts
from .keys import Keys
from .redis.link import Command, Link

DAY_MS = 86_400_000


class WarmState(NamedTuple):
    """Which partitions are warm: their reads can be trusted (S11). Not those whose master is away.

    `since` (when recording without a gap began) and `now` are in ms by Redis's clock, of the partition for
    which that was the shortest time.
    """

    now: int
    since: int
    warm: frozenset[int]

    @property
    def warming(self) -> bool:
        """Whether low counts cannot be trusted in any partition yet."""
        return not self.warm


class Shared:
    """`secret` is empty until the first `refresh`; use `known_secret` where it is needed."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys.of(settings)
        self.secret = b""
        self._pulses = [0] * len(self.keys.partitions)  # the last `pulse` of each partition: see since.lua

    def known_secret(self) -> bytes:
        """Raises Unavailable before it is known: ids and tokens must be the same on all replicas."""
        if not self.secret:
            raise Unavailable("the replicas' common secret is not known yet")
        return self.secret

    async def refresh(self) -> WarmState:
        """Keeps the marks in Redis alive. Raises Unavailable if no master answers, or not the secret's one.

        A gap shorter than TTL - HEARTBEAT_INTERVAL loses nobody, because leases from before it last longer.
        """
        gap_ms = max(1, self.settings.ttl_ms - round(self.settings.heartbeat_interval * 1000))
        commands = [self._since(n, gap_ms) for n in range(len(self.keys.partitions))]
        *marks, secret = await self.link.results([*commands, ("GETEX", self.keys.secret, "PX", DAY_MS)])
        heard = {n: mark for n, mark in enumerate(marks) if not isinstance(mark, PresenceError)}
        if not heard:
            raise marks[0]
        for n, (_, _, pulse) in heard.items():
            self._pulses[n] = pulse
        await self._take_secret(secret)
        ttl_ms = self.settings.ttl_ms
        warm = frozenset(n for n, (now, since, _) in heard.items() if since and now - since >= ttl_ms)
        now, since, _ = min(heard.values(), key=lambda mark: mark[0] - mark[1])
        return WarmState(now, since, warm)

    def _since(self, number: int, gap_ms: int) -> Command:
        partition = self.keys.partitions[number]
        names = (partition.since, partition.agenda, partition.heard, *partition.nothing)
        return ("EVALSHA", scripts.SINCE, len(names), *names, gap_ms, self._pulses[number])

    async def _take_secret(self, secret: Any) -> None:
        if isinstance(secret, PresenceError):
            if not self.secret:
                raise secret
            return  # it is known already
        if secret is None:
            key, ours = self.keys.secret, self.secret or secrets.token_bytes(32)
            _, secret = await self.link.pipeline([("SET", key, ours, "NX", "PX", DAY_MS), ("GET", key)])
        if secret != self.secret:
            self.secret = secret  # only if it differs: its users compare it by identity

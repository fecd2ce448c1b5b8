"""What replicas share besides presence: since when heartbeats have been heard, and the key of leave tokens.

Called by live.sweeper at every pass. Both live in Redis, both are mortal, both are made anew when lost.
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


class Pulse(NamedTuple):
    """`now` and `since` in ms by Redis's clock, of the partition that was heard for the shortest time.

    `warm`: the numbers of the partitions whose reads can be trusted (S11); not those whose master is away.
    """

    now: int
    since: int
    warm: frozenset[int]

    @property
    def warming(self) -> bool:
        """Too early to trust a low number anywhere."""
        return not self.warm


class Shared:
    """`secret` is empty until the first pulse has brought the common one; `known_secret` is for its use."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys.of(settings)
        self.secret = b""
        self._pulses = [0] * len(self.keys.partitions)  # the last of each; see since.lua

    def known_secret(self) -> bytes:
        """Raises Unavailable before it is known: one of our own would make ids and tokens for us alone."""
        if not self.secret:
            raise Unavailable("what the replicas have in common is not known yet")
        return self.secret

    async def pulse(self) -> Pulse:
        """Keeps the marks alive. Raises Unavailable when no master answers, or the one that has the secret.

        A gap below TTL - HEARTBEAT_INTERVAL loses nobody: whoever beat before it has a lease beyond it.
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
        return Pulse(now, since, warm)

    def _since(self, number: int, gap_ms: int) -> Command:
        partition = self.keys.partitions[number]
        names = (partition.since, partition.agenda, partition.heard, *partition.nothing)
        return ("EVALSHA", scripts.SINCE, len(names), *names, gap_ms, self._pulses[number])

    async def _take_secret(self, secret: Any) -> None:
        if isinstance(secret, PresenceError):
            if not self.secret:
                raise secret
            return  # as it is known already
        if secret is None:
            key, ours = self.keys.secret, self.secret or secrets.token_bytes(32)
            _, secret = await self.link.pipeline([("SET", key, ours, "NX", "PX", DAY_MS), ("GET", key)])
        if secret != self.secret:
            self.secret = secret  # only then: who has used it compares by identity

"""What replicas share besides presence: since when heartbeats have been heard, and the key of leave tokens.

Called by live.sweeper at every pass. Both live in Redis, both are mortal, both are made anew when lost.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from ..errors import Unavailable
from ..settings import Settings
from . import scripts
from .keys import Keys
from .redis.link import Link

DAY_MS = 86_400_000


class Pulse(NamedTuple):
    """`now` and `since` in ms by Redis's clock; `warming`: too early to trust a low number (S11)."""

    now: int
    since: int
    warming: bool


class Shared:
    """`secret` is empty until the first pulse has brought the common one; `known_secret` is for its use."""

    def __init__(self, link: Link, settings: Settings) -> None:
        self.link = link
        self.settings = settings
        self.keys = Keys(settings.key_prefix)
        self.secret = b""

    def known_secret(self) -> bytes:
        """Raises Unavailable before it is known: one of our own would make ids and tokens for us alone."""
        if not self.secret:
            raise Unavailable("what the replicas have in common is not known yet")
        return self.secret

    async def pulse(self) -> Pulse:
        """Keeps the marks alive. Raises Unavailable.

        A gap below TTL - HEARTBEAT_INTERVAL loses nobody: whoever beat before it has a lease beyond it.
        """
        gap_ms = max(1, self.settings.ttl_ms - round(self.settings.heartbeat_interval * 1000))
        key = self.keys.secret
        (now, since), secret = await self.link.pipeline(
            [
                ("EVALSHA", scripts.SINCE, 2, self.keys.since, self.keys.agenda, gap_ms),
                ("GETEX", key, "PX", DAY_MS),
            ]
        )
        if secret is None:
            ours = self.secret or secrets.token_bytes(32)
            _, secret = await self.link.pipeline([("SET", key, ours, "NX", "PX", DAY_MS), ("GET", key)])
        if secret != self.secret:
            self.secret = secret  # only then: who has used it compares by identity
        return Pulse(now, since, not since or now - since < self.settings.ttl_ms)

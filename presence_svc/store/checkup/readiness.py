"""Whether Redis lets us do all that serving takes: one real script call and one write, shared by all who ask.

Called by web.api.operations at every /readyz. Bounded: about one call a second, however many ask.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from ...errors import Away, Overloaded, Unavailable
from .. import scripts
from ..keys import Keys, Partition
from ..redis.link import Link

log = logging.getLogger("presence.readiness")
FRESH_S = 0.5


class Readiness:
    """`check` raises Unavailable while heartbeats could not be recorded and told."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._lock = asyncio.Lock()
        self._trouble = ""
        self._said = ""
        self._looked_at = float("-inf")

    async def check(self) -> None:
        if self._link.away:
            raise Away("Redis is away")
        if self._link.refusing:
            raise Unavailable(f"Redis takes no writes now ({self._link.refusing})")
        async with self._lock:
            if monotonic() - self._looked_at > FRESH_S:
                self._trouble = await self._look()
                self._looked_at = monotonic()
                if self._trouble and self._trouble != self._said:
                    log.error("not ready: %s; `presence-svc doctor` says more", self._trouble)
                self._said = self._trouble
        if self._trouble:
            raise Unavailable("Redis refuses what serving takes: see the log, and presence-svc doctor")

    def _one_per_master(self) -> list[Partition]:
        """On a Cluster one master that serves is enough: the others' courses have their own 503."""
        one_each = {self._link.node_of(partition.slot): partition for partition in self._keys.partitions}
        return list(one_each.values())

    async def _look(self) -> str:
        """What is wrong, in Redis's words; "" when nothing is."""
        reply, trouble = None, ""
        for partition in self._one_per_master():
            try:
                names, channel = self._keys.check(partition), self._keys.check_channel(partition)
                check = ("EVALSHA", scripts.CHECK, len(names), *names, channel)
                beat = ("ZADD", partition.agenda, "XX", 0, "")  # what every heartbeat begins with
                reply, _ = await self._link.pipeline([check, beat], low_priority=True)
                break
            except Overloaded:
                return self._trouble  # we ask too much at once ourselves: that says nothing of Redis
            except Unavailable as error:
                trouble = str(error.__cause__ or error)
        if reply is None:
            return trouble
        return "; ".join(f"{reply[i].decode()}: {reply[i + 1].decode()}" for i in range(1, len(reply), 2))

"""Checks that Redis allows everything that serving needs, by one script call and one write.

Called by web.api.operations for /readyz. Callers share a result: there are about two checks a second at most.
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
    """`check` raises Unavailable while heartbeats could not be recorded and published."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._lock = asyncio.Lock()
        self._problem = ""
        self._logged = ""
        self._checked_at = float("-inf")

    async def check(self) -> None:
        if self._link.away:
            raise Away("Redis is away")
        if self._link.refusing:
            raise Unavailable(f"Redis accepts no writes now ({self._link.refusing})")
        async with self._lock:
            if monotonic() - self._checked_at > FRESH_S:
                self._problem = await self._check()
                self._checked_at = monotonic()
                if self._problem and self._problem != self._logged:
                    log.error("not ready: %s; `presence-svc doctor` says more", self._problem)
                self._logged = self._problem
        if self._problem:
            raise Unavailable("Redis refuses what serving needs: see the log and presence-svc doctor")

    def _one_per_master(self) -> list[Partition]:
        """One partition per master. One master that serves is enough: courses of others get their own 503."""
        one_each = {self._link.node_of(partition.slot): partition for partition in self._keys.partitions}
        return list(one_each.values())

    async def _check(self) -> str:
        """The problem in Redis's words; "" if there is none."""
        reply, problem = None, ""
        for partition in self._one_per_master():
            try:
                names, channel = self._keys.check(partition), self._keys.check_channel(partition)
                check = ("EVALSHA", scripts.CHECK, len(names), *names, channel)
                beat = ("ZADD", partition.agenda, "XX", 0, "")  # the first write of every heartbeat
                reply, _ = await self._link.pipeline([check, beat], low_priority=True)
                break
            except Overloaded:
                return self._problem  # our own connections are all in use: that is no problem of Redis
            except Unavailable as error:
                problem = str(error.__cause__ or error)
        if reply is None:
            return problem
        return "; ".join(f"{reply[i].decode()}: {reply[i + 1].decode()}" for i in range(1, len(reply), 2))

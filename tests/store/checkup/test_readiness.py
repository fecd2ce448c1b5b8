"""Readiness: one shared script call, and never ready while heartbeats cannot be recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from presence_svc.errors import Overloaded, Unavailable
from presence_svc.store.checkup.readiness import Readiness
from presence_svc.store.keys import Keys
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from tests.live.eventually import eventually

KEYS = Keys("presence")


async def test_a_burst_of_probes_is_one_call(own_server: EmbeddedServer) -> None:
    """However many ask, Redis is asked about once a second; and nothing is left behind."""
    link = link_to(own_server.url, timeout_s=5)
    readiness = Readiness(link, KEYS)
    await asyncio.gather(*(readiness.check() for _ in range(200)))
    stats, keys = await link.pipeline([("INFO", "commandstats"), ("KEYS", "*")])
    calls = sum(_calls(stats.decode(), name) for name in ("evalsha", "eval"))

    assert calls <= 2  # the second loads the script
    assert keys == []
    await link.close()


def _calls(stats: str, name: str) -> int:
    lines = [line for line in stats.splitlines() if line.startswith(f"cmdstat_{name}:")]
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines)


async def test_not_ready_while_redis_is_full(own_server: EmbeddedServer) -> None:
    """No write is taken: not ready; with room again, ready."""
    link = link_to(own_server.url, timeout_s=5)
    await link.pipeline([("CONFIG", "SET", "maxmemory", "1")])
    with pytest.raises(Unavailable):
        await Readiness(link, KEYS).check()
    await link.pipeline([("CONFIG", "SET", "maxmemory", "0")])

    readiness = Readiness(link, KEYS)
    await eventually("ready", lambda: _is_ready(readiness), within_s=5)
    await link.close()


async def _is_ready(readiness: Any) -> bool:
    try:
        await readiness.check()
    except Unavailable:
        return False
    return True


async def test_not_ready_where_no_heartbeat_is_taken(own_server: EmbeddedServer) -> None:
    """Somebody else's key under our name refuses every heartbeat, though all rights are there."""
    link = link_to(own_server.url, timeout_s=5)
    await link.pipeline([("SET", KEYS.partitions[0].agenda, "somebody else's")])

    with pytest.raises(Unavailable):
        await Readiness(link, KEYS).check()
    await link.close()


async def test_a_crowd_of_our_own_is_no_reason_to_be_taken_out(
    own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait for a connection is not Redis's absence: what was known before holds on."""
    link = link_to(own_server.url, timeout_s=5)
    readiness = Readiness(link, KEYS)

    async def crowded(*_: object, **__: object) -> list[Any]:
        raise Overloaded("too many requests wait for Redis")

    monkeypatch.setattr(link, "pipeline", crowded)

    await readiness.check()
    await link.close()

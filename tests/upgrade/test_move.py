"""To another Redis: with all that is stored, by replication and promotion, or with nothing but heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from redis import Redis

from presence_svc.store.keys import Keys
from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.live.proxy import Proxy
from tests.rig import free_port, wait_until

pytestmark = pytest.mark.timeout(60)
PEOPLE = [{"viewer_id": f"u{n}", "chapter_id": f"ch-{n % 3}", "anonymous": n % 4 == 0} for n in range(12)]


@pytest.fixture
def servers() -> Iterator[tuple[EmbeddedServer, EmbeddedServer, int, int]]:
    """An old one and a new one, and the ports at which they reach each other."""
    ports = (free_port(), free_port())
    with ExitStack() as stack:
        options = [("--port", str(port), "--bind", "127.0.0.1") for port in ports]
        made = [stack.enter_context(EmbeddedServer(options=each)) for each in options]
        yield made[0], made[1], *ports


def count(http: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/v1/courses/c1/count").json()
    return {name: found.get(name) for name in ("total", "anonymous", "chapters", "warming")}


def say(http: httpx2.Client, verb: str, body: dict[str, Any]) -> int:
    return http.post(f"/v1/courses/c1/{verb}", json=body).status_code


async def test_without_a_gap(
    servers: tuple[EmbeddedServer, EmbeddedServer, int, int], spawn_service: SpawnService
) -> None:
    """Nobody has to be heard again: leases, bans and the key of leave tokens move too, and nothing warms."""
    old, new, old_port, new_port = servers
    async with Proxy(old.url) as proxy:
        await asyncio.to_thread(_move, proxy, spawn_service, (old.url, new.url), (old_port, new_port))


def _move(proxy: Proxy, spawn_service: SpawnService, urls: tuple[str, str], ports: tuple[int, int]) -> None:
    with Redis.from_url(urls[0]) as redis:
        redis.set(Keys("presence").partitions[0].since, 0)  # has been up for long
    service = spawn_service({"PRESENCE_REDIS_URL": proxy.url})
    with httpx2.Client(base_url=service.url, timeout=10) as http, ExitStack() as stack:
        old, new = (stack.enter_context(Redis.from_url(url)) for url in urls)
        for body in PEOPLE:
            assert say(http, "heartbeat", body) == 200
        assert say(http, "heartbeat", {"viewer_id": "banned"}) == 200
        token = http.post("/v1/courses/c1/heartbeat", json=PEOPLE[1]).json()["leave_token"]
        assert http.delete("/v1/courses/c1/viewers/banned?ban=3600").status_code == 204
        before = count(http)
        assert (before["total"], before["warming"]) == (len(PEOPLE), False)

        new.replicaof("127.0.0.1", ports[0])
        wait_until(lambda: new.info("replication")["master_link_status"] == "up")
        wait_until(
            lambda: (
                old.info("replication")["slave0"]["offset"] == old.info("replication")["master_repl_offset"]
            )
        )
        new.replicaof("NO", "ONE")
        proxy.lead_to(urls[1])
        old.replicaof("127.0.0.1", ports[1])

        wait_until(lambda: say(http, "heartbeat", PEOPLE[2]) == 200)
        assert count(http) == before
        say(http, "heartbeat", {"viewer_id": "banned", "session_id": "again"})
        assert count(http) == before
        again = http.post("/v1/courses/c1/heartbeat", json=PEOPLE[1]).json()["leave_token"]
        assert again.partition(";")[0] == token.partition(";")[0]
        assert say(http, "leave", {"viewer_id": "u1"}) == 204
        assert count(http)["total"] == len(PEOPLE) - 1
        assert new.exists("presence:{c1}:viewers")


def test_with_nothing_but_the_heartbeats(
    servers: tuple[EmbeddedServer, EmbeddedServer, int, int], spawn_service: SpawnService
) -> None:
    """S11: an empty Redis says that it warms, and has everybody again once each has sent a heartbeat."""
    for server in servers[:2]:
        service = spawn_service({"PRESENCE_REDIS_URL": server.url})
        with httpx2.Client(base_url=service.url, timeout=10) as http:
            assert count(http) == {"total": 0, "anonymous": 0, "chapters": {}, "warming": True}
            for body in PEOPLE:
                say(http, "heartbeat", body)
            assert count(http)["total"] == len(PEOPLE)
        service.terminate()

"""A Redis that is slow and in time: whatever is asked is served, from the first call on, and after a cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import httpx2
import pytest

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.live.proxy import Proxy
from tests.live.sse import Events
from tests.rig import Service
from tests.web.socket_client import SocketClient

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

DELAY_S = 0.16
KEY = "a-service-key-for-a-slow-redis"
ENV = {
    "PRESENCE_AUTH": "jwt",
    "PRESENCE_JWT_SECRET": "a secret of thirty-two bytes, it is",
    "PRESENCE_ALLOW_ANONYMOUS": "true",
    "PRESENCE_PUBLIC_COUNTS": "true",
    "PRESENCE_SERVICE_KEYS": KEY,
    "PRESENCE_REDIS_TIMEOUT": "0.3",
}
HEADERS = {"Authorization": f"Bearer {KEY}"}
ROUNDS = 5  # a busy machine adds to the delay: one round of all must be without an error


@pytest.fixture
async def proxy(own_server: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(own_server.url) as made:
        made.delay_s = DELAY_S
        yield made


def _beat(number: int, **said: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/courses/c1/heartbeat", {"viewer_id": f"v{number}", "seq": 1, **said}


async def _everything(service: Service, turn: int) -> list[str]:
    """Asks for all that there is, and gives what was not served."""
    wrong: list[str] = []
    async with httpx2.AsyncClient(base_url=service.url, headers=HEADERS, timeout=10) as client:

        def note(what: str, reply: httpx2.Response) -> None:
            if reply.status_code >= 300:
                wrong.append(f"{what}: {reply.status_code} {reply.json()['detail']}")

        visitor = {"session_id": f"visitor-{turn:04}-0123456789", "anonymous": True}
        async with httpx2.AsyncClient(base_url=service.url, timeout=10) as stranger:
            note("a join", await stranger.post("/v1/courses/c1/heartbeat", json=visitor))
        beats = [_beat(100 * turn + n) for n in range(20)]
        for reply in await asyncio.gather(*(client.post(path, json=said) for path, said in beats)):
            note("a heartbeat", reply)
        for path in ("/v1/courses/c1/count", "/v1/counts?course_id=c1&course_id=c2", "/v1/courses/c1/viewers",
                     "/v1/stats", "/readyz", "/v1/courses/c1/history"):  # fmt: skip
            note(path, await client.get(path))
        leaving = {"viewer_id": f"v{100 * turn}"}
        note("a leave", await client.post("/v1/courses/c1/leave", json=leaving))
        note("an eviction", await client.delete(f"/v1/courses/c1/viewers/v{100 * turn + 1}"))
    async with Events(service.url, "/v1/courses/c1/live") as events:
        await events.count(within_s=2)
    async with SocketClient(service, "c1", viewer_id=f"w{turn}", headers=HEADERS) as socket:
        if socket.joined["type"] != "joined":
            wrong.append(f"a socket: {socket.joined}")
    return wrong


async def test_slower_than_usual_is_served(proxy: Proxy, spawn_service: SpawnService) -> None:
    """0.16 s of a deadline of 0.3 s: after a start, and after every connection was cut, all of it."""
    service = await asyncio.to_thread(spawn_service, {"PRESENCE_REDIS_URL": proxy.url, **ENV})
    for what in ("after a start", "after a cut"):
        rounds = []
        for turn in range(ROUNDS):
            if what == "after a cut":
                proxy.cut()
            began = monotonic()
            rounds.append(await _everything(service, turn + ROUNDS * (what == "after a cut")))
            if not rounds[-1]:
                break
            await asyncio.sleep(1)
        print(f"{what}: all in {monotonic() - began:.1f} s, in round {len(rounds)}")
        assert rounds[-1] == [], rounds

"""The host's clock is set, a day forward and two back, under streams, sockets, rates and a watcher."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, cast

import httpx2
import pytest
from joserfc import jwk, jwt

from presence_svc.client import Count, watch
from tests.live.sse import Events
from tests.rig import VALKEY, Service, real_server
from tests.web.socket_client import SocketClient

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

SECRET = "a secret of thirty-two bytes, it is"
KEY = "a-service-key-of-the-host-clock"
ENV = {
    "PRESENCE_AUTH": "jwt",
    "PRESENCE_JWT_SECRET": SECRET,
    "PRESENCE_SERVICE_KEYS": KEY,
    "PRESENCE_PUBLIC_COUNTS": "true",
    "PRESENCE_READ_BURST": "20",
    "PRESENCE_READ_RATE": "0.01",
}
DAY_S = 86_400
FORWARD, BACK = signal.SIGUSR1, signal.SIGUSR2
STEPS = (FORWARD, BACK, BACK, FORWARD)  # a day forward, two back, and as it was
KEEP_ALIVE_WITHIN_S = 18


class SteppedService(Service):
    """Its host's clock can be set (tests.faults.stepped)."""

    def __init__(self, env: dict[str, str]) -> None:
        super().__init__(env, through=(sys.executable, "-m", "tests.faults.stepped"))
        self.redis_url = env["PRESENCE_REDIS_URL"]

    async def step(self, number: int) -> None:
        os.kill(self.pid, number)
        await asyncio.sleep(0.1)


@pytest.fixture
def service() -> Iterator[SteppedService]:
    with real_server(VALKEY) as server, SteppedService({"PRESENCE_REDIS_URL": server.url, **ENV}) as running:
        yield running


def _token(viewer: str, lasts_s: float = 3_600) -> dict[str, str]:
    claims: dict[str, Any] = {"sub": viewer, "exp": time.time() + lasts_s}
    made = jwt.encode({"alg": "HS256"}, claims, jwk.OctKey.import_key(SECRET))
    return {"Authorization": f"Bearer {made}"}


def _beat(service: Service, viewer: str) -> int:
    path = f"{service.url}/v1/courses/c1/heartbeat"
    service_key = {"Authorization": f"Bearer {KEY}"}
    return httpx2.post(path, json={"viewer_id": viewer}, headers=service_key, timeout=10).status_code


async def test_streams_and_sockets_go_by_the_time_that_has_passed(service: SteppedService) -> None:
    """Each change is told after each step, nobody is told to go, and a quiet stream has its keep-alive."""
    async with (
        Events(service.url, "/v1/courses/c1/live") as events,
        SocketClient(service, "c1", viewer_id="ada", headers=_token("ada")) as socket,
    ):
        await events.until(1)
        for total, step in enumerate(STEPS, start=2):
            await service.step(step)
            assert await asyncio.to_thread(_beat, service, f"v{total}") == 200
            await events.until(total)
            await socket.until("count", total=total)
        kind, _ = await events.next(within_s=KEEP_ALIVE_WITHIN_S)

    assert kind == ""
    assert {event for event, _ in events.seen} <= {"count", ""}
    assert {told["type"] for told in socket.told} <= {"joined", "count"}


async def test_rates_and_verdicts_go_by_the_time_that_has_passed(service: SteppedService) -> None:
    """What is used up stays so, with its Retry-After; a token that holds is believed."""
    spender, other = _token("bob"), _token("eve", 10 * DAY_S)
    async with httpx2.AsyncClient(base_url=service.url, timeout=10) as client:
        for _ in range(25):
            refused = await client.get("/v1/courses/c1/viewers", headers=spender)
        assert refused.status_code == 429
        for step in STEPS:
            before_s = int(refused.headers["retry-after"])
            await service.step(step)
            refused = await client.get("/v1/courses/c1/viewers", headers=spender)
            believed = await client.get("/v1/courses/c1/count", headers=other)
            ready = await client.get("/readyz")
            assert (refused.status_code, believed.status_code, ready.status_code) == (429, 200, 200)
            assert int(refused.headers["retry-after"]) < before_s + 100
    assert "Traceback" not in service.logs()


async def test_a_watcher_goes_by_the_time_that_has_passed(
    service: SteppedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same host's clock, in the process of the Python client."""
    real = time.time
    watching = cast(AsyncGenerator[Count, None], watch(service.redis_url, "c1"))
    async with aclosing(watching) as counts, asyncio.timeout(30):
        assert (await anext(counts)).total == 0
        for total, ahead_s in enumerate((DAY_S, 0, -DAY_S, 0), start=1):
            monkeypatch.setattr(time, "time", lambda ahead_s=ahead_s: real() + ahead_s)
            assert await asyncio.to_thread(_beat, service, f"v{total}") == 200
            while (await anext(counts)).total != total:
                pass

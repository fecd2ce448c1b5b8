"""One of two replicas is stopped behind nginx, HAProxy and Caddy: no client sees an error (L6, S10)."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import httpx2
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests import rig
from tests.deploy.test_proxies import PROXIES, _wait
from tests.live.sse import Events
from tests.rig import Service

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
VIEWERS, STREAMS, SOCKETS = 20, 10, 6


class Clients:
    """They beat, listen and join again as players do, and write down how each thing ended."""

    def __init__(self, front: str) -> None:
        self._front = front
        self.beats: Counter[int | str] = Counter()
        self.ends: Counter[str] = Counter()
        self.opened = 0
        self.is_over = False

    async def beat(self, number: int) -> None:
        async with httpx2.AsyncClient(base_url=self._front, timeout=10) as http:
            while not self.is_over:
                try:
                    body = {"viewer_id": f"v{number}"}
                    self.beats[(await http.post("/v1/courses/c1/heartbeat", json=body)).status_code] += 1
                except httpx2.HTTPError as error:
                    self.beats[type(error).__name__] += 1
                await asyncio.sleep(0.05)

    async def listen(self) -> None:
        while not self.is_over:
            async with Events(self._front, "/v1/courses/c1/live") as events:
                self.opened += 1
                last = ""
                try:
                    while not events.ended and not self.is_over:
                        try:
                            kind, _ = await events.next(0.5)
                        except TimeoutError:
                            continue
                        last = kind if kind != "end" else last
                    if events.ended:
                        self.ends[last] += 1
                except (OSError, EOFError) as error:
                    self.ends[type(error).__name__] += 1

    async def join(self, number: int) -> None:
        url = f"ws{self._front.removeprefix('http')}/v1/courses/c1/ws"
        while not self.is_over:
            async with connect(url) as socket:
                self.opened += 1
                await socket.send(orjson.dumps({"type": "join", "viewer_id": f"s{number}"}).decode())
                kinds = [""]
                try:
                    while not self.is_over:
                        try:
                            message = await asyncio.wait_for(socket.recv(), 0.5)
                        except TimeoutError:
                            continue
                        kinds.append(orjson.loads(message)["type"])
                except ConnectionClosed:
                    self.ends[kinds[-1]] += 1


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_stopped_replica_costs_nobody_an_error(proxy: str, tmp_path: Path) -> None:
    """Every heartbeat is taken, every stream and socket ends with `bye` and is open again, elsewhere."""
    with rig.real_server(rig.VALKEY) as server:
        env = {
            "PRESENCE_REDIS_URL": server.url,
            "PRESENCE_DRAIN_DELAY": "3",
            "PRESENCE_DRAIN_SPREAD": "1",
        }
        with Service(env) as one, Service(env) as other, PROXIES[proxy]((one, other), tmp_path) as port:
            front = f"http://127.0.0.1:{port}"
            await asyncio.to_thread(_wait, front)
            clients = Clients(front)
            async with asyncio.TaskGroup() as group:
                for number in range(VIEWERS):
                    group.create_task(clients.beat(number))
                for number in range(SOCKETS):
                    group.create_task(clients.join(number))
                for _ in range(STREAMS):
                    group.create_task(clients.listen())
                await asyncio.sleep(2)
                status = await asyncio.to_thread(one.terminate, signal.SIGTERM)
                await asyncio.sleep(2)
                clients.is_over = True

    print(proxy, dict(clients.beats), dict(clients.ends), clients.opened)
    assert status == 0
    assert set(clients.beats) == {200}
    assert set(clients.ends) == {"bye"}
    assert clients.opened >= STREAMS + SOCKETS + clients.ends["bye"]

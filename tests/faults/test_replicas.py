"""Replicas restarted, hung and killed behind a load balancer, also on a Cluster; readers that stop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2
import orjson
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from presence_svc.store.redis.embedded import EmbeddedServer
from tests import rig
from tests.conftest import SpawnService
from tests.faults.crowd import FAST, INTERVAL_S, TTL_S, count, crowd
from tests.live.eventually import eventually
from tests.live.sse import Events
from tests.rig import Service

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
BEATING, SOCKETS, STREAMS = 40, 100, 300
CONFIG = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-request 5s
    option redispatch
    retries 2
    retry-on conn-failure empty-response
frontend front
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter 200 fastinter 100 fall 1 rise 1
{servers}
"""


@contextmanager
def balancer(services: Sequence[Service], directory: Path) -> Iterator[str]:
    """haproxy in front of the replicas, checking /readyz; its URL."""
    port = rig.free_port()
    servers = "\n".join(f"    server s{n} 127.0.0.1:{service.port}" for n, service in enumerate(services))
    config = directory / "haproxy.cfg"
    config.write_text(CONFIG.format(port=port, servers=servers))
    process = subprocess.Popen([rig.need("haproxy"), "-db", "-f", str(config)], stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


async def _is(url: str, total: int) -> bool:
    return (await count(url, "c1")).get("total") == total


class Watcher:
    """A reader as the badge is one: when its stream ends it comes back after the pause it was told."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.totals: list[int] = []
        self.away_s: list[float] = []

    async def run(self) -> None:
        lost: float | None = None
        while True:
            pause_s = 0.2
            try:
                async with Events(self._url, "/v1/courses/c1/live") as events:
                    while not events.ended:
                        event, data = await events.next(within_s=60)
                        if event == "count":
                            self.totals.append(data["total"])
                            if lost is not None:
                                self.away_s.append(monotonic() - lost)
                            lost = None
                    pause_s = events.retry_ms / 1000 or pause_s
            except (OSError, EOFError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                pass
            lost = lost or monotonic()
            await asyncio.sleep(min(pause_s, 1.0))


class Socket(Watcher):
    """A viewer who is present by a WebSocket, and reads there what the others read on streams."""

    def __init__(self, url: str, viewer: str) -> None:
        self._address = f"ws{url.removeprefix('http')}/v1/courses/c1/ws"
        self._join = orjson.dumps({"type": "join", "viewer_id": viewer}).decode()
        self.totals = []
        self.away_s = []

    async def run(self) -> None:
        lost: float | None = None
        while True:
            pause_s = 0.2
            try:
                async with connect(self._address, open_timeout=5) as socket:
                    await socket.send(self._join)
                    async for text in socket:
                        message = orjson.loads(text)
                        pause_s = message.get("retry_ms", 200) / 1000
                        if message["type"] == "count":
                            self.totals.append(message["total"])
                            if lost is not None:
                                self.away_s.append(monotonic() - lost)
                            lost = None
            except (OSError, TimeoutError, WebSocketException):
                pass
            lost = lost or monotonic()
            await asyncio.sleep(min(pause_s, 1.0))


@asynccontextmanager
async def watchers(made: list[Watcher]) -> AsyncIterator[None]:
    """They read while the block runs."""
    tasks = [asyncio.create_task(watcher.run()) for watcher in made]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _three(url: str, spawn_service: SpawnService, **settings: str) -> list[Service]:
    env = {"PRESENCE_REDIS_URL": url, **FAST, **settings}
    return [await asyncio.to_thread(spawn_service, env) for _ in range(3)]


async def test_rolling_restart(url_of_a_kind: str, spawn_service: SpawnService, tmp_path: Path) -> None:
    """L6: 300 streams, 100 sockets: no beat fails, no number moves, all are back within 5 s."""
    patient = {"PRESENCE_TTL": "8", "PRESENCE_HIDDEN_TTL": "16"}  # a busy machine opens sockets slowly
    services = await _three(url_of_a_kind, spawn_service, **patient)
    with balancer(services, tmp_path) as url:
        await eventually("balanced", lambda: asyncio.to_thread(_ready, url))
        sockets: list[Watcher] = [Socket(url, f"s{n}") for n in range(SOCKETS)]
        async with crowd([url], "c1", BEATING) as log, watchers(sockets):
            await eventually("all there", lambda: _is(url, BEATING + SOCKETS), within_s=20)
            readers = [Watcher(url) for _ in range(STREAMS)]
            async with watchers(readers):
                await eventually("all read", lambda: all(reader.totals for reader in readers), within_s=15)
                everybody = [*readers, *sockets]
                whole = BEATING + SOCKETS
                await eventually("all know", lambda: {one.totals[-1] for one in everybody} == {whole})
                for one in everybody:  # they saw the last ones come: a message may be an interval behind (S8)
                    one.totals.clear()
                began = monotonic()
                exits_s = []
                for service in services:
                    stopped = monotonic()
                    status = await asyncio.to_thread(service.terminate)
                    exits_s.append(monotonic() - stopped)
                    assert status == 0
                    await asyncio.to_thread(service.start)
                    await asyncio.sleep(1)
                await eventually("all came back", lambda: all(one.away_s for one in everybody), within_s=15)
                statuses = log.statuses(began)
    totals = {total for reader in everybody for total in reader.totals}
    away_s = [pause for reader in everybody for pause in reader.away_s]
    print(f"rolling restart: {statuses}, exits {[round(s, 1) for s in exits_s]} s,"
          f" {len(away_s)} streams and sockets moved, longest away {max(away_s):.1f} s")  # fmt: skip
    assert set(statuses) == {200}
    assert totals == {whole}
    assert max(exits_s) < 10
    assert max(away_s) < 5
    assert all("Traceback" not in service.logs() for service in services)


def _ready(url: str) -> bool:
    probe = Service(port=int(url.rsplit(":", 1)[1]))
    try:
        return probe.get_status("/readyz") == 200
    finally:
        probe.close()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_replica_hangs_or_dies(
    own_server: EmbeddedServer, spawn_service: SpawnService, tmp_path: Path, number: int
) -> None:
    """L4, L5: one of three: from 3 s on 99 % of all beats succeed, and nobody is lost for good."""
    services = await _three(own_server.url, spawn_service)
    with balancer(services, tmp_path) as url:
        await eventually("balanced", lambda: asyncio.to_thread(_ready, url))
        async with crowd([url], "c1", 40) as log:
            await eventually("all there", lambda: _is(url, 40))
            os.kill(services[0].pid, number)
            hit = monotonic()
            await asyncio.sleep(7)
            later = log.statuses(hit + 3)
            first = log.statuses(hit)
            total = (await count(url, "c1"))["total"]
            if number == signal.SIGSTOP:
                os.kill(services[0].pid, signal.SIGCONT)
    print(f"{signal.Signals(number).name}: from the start {dict(first)}, after 3 s {dict(later)}")
    assert later[200] >= 0.99 * sum(later.values())
    assert total == 40


async def test_slow_readers(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """L3: 200 streams read nothing: memory stays, an honest stream is right, all are gone at last."""
    env = {"PRESENCE_REDIS_URL": own_server.url, "PRESENCE_PUBLISH_INTERVAL": "0.01"}
    service = await asyncio.to_thread(spawn_service, env | {"PRESENCE_SEND_DEADLINE": "2"})
    courses = "&".join(f"course_id=c{n}" for n in range(1, 101))
    slow = [Events(service.url, f"/v1/live?viewers=20&{courses}") for _ in range(200)]
    for events in slow:
        await events.__aenter__()
        events._reader._transport.pause_reading()  # type: ignore[attr-defined]
    async with Events(service.url, "/v1/courses/c1/live") as honest:
        await honest.until(0)
        before_mb = _rss_mb(service.pid)
        async with crowd([service.url], "c1", 300, interval_s=10):
            await honest.until(300, within_s=20)
        grown_mb = _rss_mb(service.pid) - before_mb
    for events in slow:
        await events.__aexit__()
    await eventually("all gone", lambda: "presence_streams 0.0" in _metrics(service), within_s=10)
    print(f"slow readers: RSS +{grown_mb:.1f} MB")
    assert grown_mb < 20


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _metrics(service: Service) -> str:
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=5) as reply:  # noqa: S310
        return str(reply.read().decode())


async def test_crashed_and_sleeping_clients(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """B1, B2: who stops beating goes within the bound, not before the lease; who wakes is back."""
    service = await asyncio.to_thread(spawn_service, {"PRESENCE_REDIS_URL": own_server.url, **FAST})
    async with Events(service.url, "/v1/courses/c1/live") as events, crowd([service.url], "c1", 10):
        await events.until(10)
        async with crowd([service.url], "c1", 30) as sleepers:
            await events.until(30)
        fell_asleep = max(answer.at for answer in sleepers.answers)
        first_beat = fell_asleep - INTERVAL_S - 0.5
        while (await events.count())["total"] == 30:
            pass
        flapped_s = monotonic() - first_beat
        await events.until(10)
        gone_s = monotonic() - fell_asleep
        async with crowd([service.url], "c1", 30):
            woken = monotonic()
            await events.until(30)
            back_s = monotonic() - woken
        seen = [data["total"] for event, data in events.seen if event == "count"]
    print(f"sleepers: gone after {gone_s:.2f} s, back after {back_s:.2f} s")
    assert flapped_s >= TTL_S
    assert gone_s <= TTL_S + 1.5 + 0.5
    assert back_s < INTERVAL_S + 2
    assert min(seen[seen.index(10) :]) >= 10


async def test_soak(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """H8, S12: 5,000 one-shot courses, streams that come and go: keys, fds and memory are back.

    Without history, which is what a course leaves behind.
    """
    env = {"PRESENCE_REDIS_URL": own_server.url, "PRESENCE_HISTORY": "off", **FAST}
    service = await asyncio.to_thread(spawn_service, env)
    async with Redis.from_url(own_server.url) as redis, httpx2.AsyncClient(timeout=10) as client:
        await client.post(f"{service.url}/v1/courses/warm/heartbeat", json={"viewer_id": "v"})
        await asyncio.sleep(TTL_S + 1)
        before_mb, fds = _rss_mb(service.pid), len(os.listdir(f"/proc/{service.pid}/fd"))
        for start in range(0, 5_000, 500):
            beats = [{"course_id": f"s{n}", "viewer_id": "v"} for n in range(start, start + 500)]
            reply = await client.post(f"{service.url}/v1/heartbeats", json={"heartbeats": beats})
            assert reply.status_code == 200
            for n in range(10):
                async with Events(service.url, f"/v1/courses/s{start + n}/live") as events:
                    await events.count()
        await eventually("the agenda is empty", lambda: _is_empty(redis), within_s=15)
        names: list[Any] = await redis.keys("*")
        left = {name for name in names if not name.endswith(b":state")}
        after_fds = len(os.listdir(f"/proc/{service.pid}/fd"))
        grown_mb = _rss_mb(service.pid) - before_mb
    print(f"soak: fds {fds} -> {after_fds}, RSS +{grown_mb:.1f} MB, {len(left)} keys besides state")
    assert left <= {b"presence:since", b"presence:secret"}
    assert after_fds <= fds + 5
    assert grown_mb < 40
    assert "Traceback" not in service.logs()


async def _is_empty(redis: Redis) -> bool:
    return not await redis.exists("presence:agenda:0")

"""A replica ends in order: readiness, streams some at a time, then the rest; or at once, when told twice."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import Callable

import httpx2
import pytest

from tests.live.eventually import eventually
from tests.live.sse import Events
from tests.rig import Service

Spawn = Callable[..., Service]
BEAT = {"viewer_id": "ada"}
LONG = {"PRESENCE_DRAIN_DELAY": "120"}


async def ended(service: Service, within_s: float) -> int:
    assert service.process is not None
    return await asyncio.to_thread(service.process.wait, within_s)


async def until_not_ready(http: httpx2.AsyncClient) -> None:
    async def has_fallen() -> bool:
        return (await http.get("/readyz")).status_code == 503

    await eventually("readiness has fallen", has_fallen, within_s=10)


@pytest.mark.parametrize("fast_path", ["true", "false"])
async def test_readiness_falls_first_and_service_goes_on(spawn_service: Spawn, fast_path: str) -> None:
    """Until the delay is over: then streams say goodbye, and the process ends by itself, with status 0."""
    service = spawn_service({"PRESENCE_DRAIN_DELAY": "2", "PRESENCE_FAST_PATH": fast_path})
    async with (
        httpx2.AsyncClient(base_url=service.url, timeout=5) as http,
        Events(service.url, "/v1/courses/c1/live") as events,
    ):
        await events.next()
        await http.post("/v1/courses/c1/heartbeat", json=BEAT)
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        await until_not_ready(http)

        beat = await http.post("/v1/courses/c1/heartbeat", json=BEAT)
        count = await http.get("/v1/courses/c1/count")
        alive = await http.get("/livez")

        assert (beat.status_code, count.json()["total"], alive.status_code) == (200, 1, 200)
        assert {reply.headers["connection"] for reply in (beat, count, alive)} == {"close"}
        kind = ""
        while kind != "bye":
            kind, _ = await events.next()
    assert await ended(service, 15) == 0
    assert "Traceback" not in service.logs()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(spawn_service: Spawn, workers: str, again: int) -> None:
    """Also with a stream open, and whatever the delay is; workers hear of it too."""
    service = spawn_service(LONG | {"PRESENCE_WORKERS": workers})
    async with (
        httpx2.AsyncClient(base_url=service.url, timeout=5) as http,
        Events(service.url, "/v1/courses/c1/live") as events,
    ):
        await events.next()
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        await until_not_ready(http)
        began = time.monotonic()
        service.process.send_signal(again)
        await ended(service, 30)

    assert time.monotonic() - began < 15
    assert "Traceback" not in service.logs()


async def test_nobody_waits_at_a_terminal(spawn_service: Spawn) -> None:
    """Ctrl-C: no delay."""
    service = spawn_service(LONG)
    assert service.process is not None
    service.process.send_signal(signal.SIGINT)

    assert await ended(service, 30) == 0


async def test_goodbyes_are_spread(spawn_service: Spawn) -> None:
    """Else all come to the other replicas in one moment; each is told, by a whole event."""
    service = spawn_service({"PRESENCE_DRAIN_SPREAD": "2"})
    ends: list[float] = []

    async def listen(ready: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"GET /v1/courses/c1/live HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"event: count")
        ready.set()
        rest = await reader.read()
        assert re.search(rb"event: bye\s", rest)
        ends.append(time.monotonic())
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    marks = [asyncio.Event() for _ in range(300)]
    tasks = [asyncio.create_task(listen(mark)) for mark in marks]
    async with asyncio.timeout(20):
        await asyncio.gather(*(mark.wait() for mark in marks))
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*tasks)

    assert max(ends) - min(ends) > 1
    assert await ended(service, 15) == 0

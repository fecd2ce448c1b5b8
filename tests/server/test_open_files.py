"""Few open files: the limit is raised where it can be; where it is met, heartbeats and probes go on (L9)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.eventually import eventually
from tests.rig import Service
from tests.server.raw import talk

BEAT = (
    b"POST /v1/courses/c1/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b'content-length: 19\r\nconnection: close\r\n\r\n{"viewer_id":"ada"}'
)
READY = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LIVE = b"GET /v1/courses/c1/live HTTP/1.1\r\nhost: x\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

Limited = Callable[[int, int], Service]


@pytest.fixture
def limited() -> Iterator[Limited]:
    """Starts a service under a soft and a hard limit."""
    with contextlib.ExitStack() as stack:

        def start(soft: int, hard: int) -> Service:
            limits = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"'
            return stack.enter_context(Service(through=("sh", "-c", limits, "sh")))

        yield start


def limit_of(pid: int) -> tuple[str, str]:
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max open files"):
            soft, hard = line.split()[3:5]
            return soft, hard
    raise AssertionError("no such line")


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs /proc")
def test_a_low_soft_limit_is_raised(limited: Limited) -> None:
    """As other servers do: the soft one is for programs that use select."""
    assert limit_of(limited(128, 1_024).pid) == ("1024", "1024")


async def statuses(port: int, request: bytes) -> list[int]:
    try:
        return (await talk(port, request, patience_s=2)).statuses
    except OSError:
        return []


async def crowd(port: int, size: int) -> list[asyncio.StreamWriter]:
    """Connections that say nothing."""
    return [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(size)]


async def test_where_the_limit_is_met_heartbeats_and_probes_pass(limited: Limited) -> None:
    """Streams are refused meanwhile; one line in the log says why, a metric too; and it is over by itself."""
    service = limited(128, 128)
    silent = await crowd(service.port, 300)
    try:
        for request in (BEAT, READY, BEAT):

            async def passes(request: bytes = request) -> bool:
                return await statuses(service.port, request) == [200]

            await eventually("it is answered", passes, within_s=8, every_s=0.2)
        assert await statuses(service.port, LIVE) in ([429], [])
        metrics = await talk(service.port, METRICS, patience_s=2)
        if metrics.received:
            assert b"presence_open_files_scarce 1.0" in metrics.received
        assert service.logs().count("open files are near their limit") == 1
    finally:
        for writer in silent:
            writer.transport.abort()

    async def streams() -> bool:
        return await statuses(service.port, LIVE) == [200]

    await eventually("streams open again", streams, within_s=15, every_s=0.2)
    assert service.logs().count("open files are well below their limit again: streams are accepted") == 1
    assert b"presence_open_files_scarce 0.0" in (await talk(service.port, METRICS)).received
    assert "Traceback" not in service.logs()

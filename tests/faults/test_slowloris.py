"""Five hundred half-open connections while honest viewers beat: nobody honest may notice (L7)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from statistics import quantiles

import pytest

from tests.conftest import SpawnService
from tests.rig import Service

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

HALF_OPEN = 500
DEADLINE_S = 5.0
CLOSED_BY_S = 15.0
HONEST = 20
BEATS = 60
ROUNDS = 3
RATIO = 1.5
FLOOR_S = 0.005  # below this a ratio measures the scheduler
LENGTH = re.compile(rb"content-length: (\d+)")
HEAD = b"POST /v1/courses/c1/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
KINDS = (b"", HEAD, HEAD + b'content-length: 500\r\n\r\n{"viewer_id":')


async def half_open(port: int, number: int) -> float:
    """Holds a connection open with half a request and a byte now and then; how long it was let."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    began = loop.time()
    kind = KINDS[number % len(KINDS)]
    writer.write(kind)

    async def dribble() -> None:
        while kind and not writer.is_closing():
            await asyncio.sleep(random.uniform(0.5, 1.5))  # as strangers do: not all in one moment
            writer.write(b"x-more: y\r\n" if kind is HEAD else b" ")

    dribbling = asyncio.create_task(dribble())
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSED_BY_S + 5):
            while await reader.read(4_096):
                pass
    dribbling.cancel()
    await asyncio.gather(dribbling, return_exceptions=True)
    writer.transport.abort()
    return loop.time() - began


async def honest_p99(port: int) -> float:
    """The 99th percentile, in seconds, of heartbeats over kept connections."""
    took: list[float] = []

    async def viewer(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        body = b'{"viewer_id":"u%d"}' % number
        for _ in range(BEATS):
            began = loop.time()
            writer.write(b"%bcontent-length: %d\r\n\r\n%b" % (HEAD, len(body), body))
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                length = LENGTH.search(head)
                assert length is not None
                await reader.readexactly(int(length[1]))
            took.append(loop.time() - began)
            await asyncio.sleep(0.01)
        writer.transport.abort()

    await asyncio.gather(*(viewer(number) for number in range(HONEST)))
    return quantiles(took, n=100)[98]


def in_ms(seconds: list[float]) -> str:
    return ", ".join(f"{value * 1000:.1f}" for value in seconds)


async def with_attackers(service: Service) -> tuple[float, list[float]]:
    attack = [asyncio.create_task(half_open(service.port, number)) for number in range(HALF_OPEN)]
    await asyncio.sleep(1)
    p99_s = await honest_p99(service.port)
    return p99_s, await asyncio.gather(*attack)


async def test_slow_connections_are_closed_and_honest_ones_do_not_notice(
    spawn_service: SpawnService,
) -> None:
    """Silent, half a head, half a body: all are closed by the deadline; honest p99 stays within 1.5 times."""
    service = spawn_service({"PRESENCE_REQUEST_DEADLINE": str(DEADLINE_S)})
    await honest_p99(service.port)
    calm, attacked, held = [], [], []
    for _ in range(ROUNDS):
        calm.append(await honest_p99(service.port))
        p99_s, times = await with_attackers(service)
        attacked.append(p99_s)
        held += times

    ratio = max(min(attacked), FLOOR_S) / max(min(calm), FLOOR_S)
    print(f"honest p99: calm {in_ms(calm)} ms, attacked {in_ms(attacked)} ms, ratio of the best {ratio:.2f}")
    print(f"{len(held)} half-open connections held {min(held):.1f} to {max(held):.1f} s")
    assert max(held) < CLOSED_BY_S
    assert ratio <= RATIO
    assert service.get_status("/readyz") == 200

"""The way to Redis: deadlines, the breaker, and no reply that belongs to somebody else."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic

import pytest

from presence_svc.errors import Misconfigured, Unavailable
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from presence_svc.store.redis.link import Link, ServerLink
from tests import rig
from tests.live.eventually import eventually
from tests.live.proxy import Proxy

TIMEOUT_S = 0.25
ANSWERED_S = 0.5  # what a client waits at most while Redis is away


@pytest.fixture
async def link(own_server: EmbeddedServer) -> AsyncIterator[ServerLink]:
    made = link_to(own_server.url, timeout_s=TIMEOUT_S)
    yield made
    await made.close()


async def _refusal_s(link: Link) -> float:
    """How long it took to learn that Redis is away."""
    began = monotonic()
    with pytest.raises(Unavailable):
        await link.pipeline([("PING",)])
    return monotonic() - began


async def test_commands_run_in_order(link: Link) -> None:
    """One exchange, a reply for each."""
    assert await link.pipeline([("SET", "a", 1), ("INCR", "a"), ("GET", "a")]) == [b"OK", 2, b"2"]


async def test_a_hung_redis_is_given_up(link: ServerLink, own_server: EmbeddedServer) -> None:
    """R3: SIGSTOP: one caller waits for the deadline, the others learn at once; back within 2 s."""
    await link.pipeline([("PING",)])
    back: list[float] = []
    link.node.health.on_back = lambda: back.append(monotonic())
    os.kill(own_server.pid, signal.SIGSTOP)
    try:
        first = await _refusal_s(link)
        assert link.away
        later = [await _refusal_s(link) for _ in range(50)]
    finally:
        os.kill(own_server.pid, signal.SIGCONT)
    continued = monotonic()
    await eventually("back", lambda: not link.away, within_s=2)

    assert first < ANSWERED_S
    assert max(later) < TIMEOUT_S / 2
    assert await link.pipeline([("PING",)]) == [b"PONG"]
    assert len(back) == 1
    assert back[0] - continued < 2


async def test_a_dead_redis_is_refused_and_found_again(link: ServerLink, own_server: EmbeddedServer) -> None:
    """R4: kill -9, then a new one in its place: Unavailable meanwhile, then service as before."""
    await link.pipeline([("PING",)])
    os.kill(own_server.pid, signal.SIGKILL)
    await asyncio.sleep(0.05)
    refusals = [await _refusal_s(link) for _ in range(20)]
    await asyncio.to_thread(own_server.start)
    await eventually("back", lambda: not link.away, within_s=2)

    assert max(refusals) < ANSWERED_S
    assert await link.pipeline([("PING",)]) == [b"PONG"]


async def test_attempts_are_few_while_redis_is_away(link: ServerLink, own_server: EmbeddedServer) -> None:
    """R4: whoever asks, one prober knocks, a few times a second; one line tells of the loss."""
    failures: list[int] = []
    link.node.on_failure = lambda: failures.append(1)
    os.kill(own_server.pid, signal.SIGKILL)
    await asyncio.sleep(0.05)
    await asyncio.gather(*(link.pipeline([("PING",)]) for _ in range(10)), return_exceptions=True)
    for _ in range(200):
        await _refusal_s(link)

    assert len(failures) <= 10


async def test_an_error_of_redis_is_ours(link: Link) -> None:
    """A reply that is an error becomes Unavailable, and is no reason to think that Redis is away."""
    await link.pipeline([("SET", "text", "x")])
    with pytest.raises(Unavailable):
        await link.pipeline([("INCR", "text"), ("PING",)])

    assert not link.away
    assert await link.pipeline([("GET", "text")]) == [b"x"]


async def test_no_reply_belongs_to_somebody_else(own_server: EmbeddedServer) -> None:
    """R13: 1,000 calls, half of them cancelled at random moments: every answer is to its own question."""
    chance = random.Random(13)
    async with Proxy(own_server.url) as proxy:
        link = link_to(proxy.url, timeout_s=5)
        proxy.delay_s = 0.001

        async def ask(n: int) -> bool:
            (reply,) = await link.pipeline([("ECHO", f"{n}")])
            return bool(reply == b"%d" % n)

        for start in range(0, 1_000, 20):
            tasks = [asyncio.ensure_future(ask(n)) for n in range(start, start + 20)]
            await asyncio.sleep(chance.uniform(0, 0.004))
            for task in chance.sample(tasks, 10):
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            answered = [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)]
            assert len(answered) >= 10
            assert all(outcome is True for outcome in answered)
        await link.close()


async def test_slow_replies_past_the_deadline_are_never_read(own_server: EmbeddedServer) -> None:
    """R5: a reply that comes after its deadline is not taken for the next question's."""
    async with Proxy(own_server.url) as proxy:
        link = link_to(proxy.url, timeout_s=TIMEOUT_S)
        await link.pipeline([("ECHO", "warm")])
        proxy.delay_s = TIMEOUT_S * 1.5
        with pytest.raises(Unavailable):
            await link.pipeline([("ECHO", "late")])
        proxy.delay_s = 0
        await eventually("back", lambda: not link.away, within_s=3)

        assert await link.pipeline([("ECHO", "next")]) == [b"next"]
        await link.close()


async def test_the_pool_is_bounded(own_server: EmbeddedServer) -> None:
    """R14: however many ask at once, no more connections are opened than the pool has."""
    async with Proxy(own_server.url) as proxy:
        link = link_to(proxy.url, timeout_s=5, pool=4)
        replies = await asyncio.gather(*(link.pipeline([("PING",)]) for _ in range(100)))

        assert replies == [[b"PONG"]] * 100
        assert proxy.accepted <= 4
        await link.close()


async def test_close_leaves_nothing_open(own_server: EmbeddedServer) -> None:
    """Closing the link closes its connections, also while Redis is away."""
    link = link_to(own_server.url, timeout_s=TIMEOUT_S)
    watcher = link_to(own_server.url, timeout_s=5)
    await asyncio.gather(*(link.pipeline([("PING",)]) for _ in range(5)))

    async def clients() -> int:
        (listed,) = await watcher.pipeline([("CLIENT", "LIST")])
        return len(listed.splitlines())

    before = await clients()
    await link.close()

    assert before > 1
    await eventually("only the watcher is left", lambda: _is_one(clients))
    await watcher.close()


async def _is_one(clients: Callable[[], Awaitable[int]]) -> bool:
    return await clients() == 1


async def test_a_node_without_slots_is_told_the_right_url() -> None:
    """A Cluster that is still being made answers CLUSTERDOWN to all: who looks for that in the URL?"""
    port = rig.free_port()
    while port > 55_000:  # its bus is 10,000 above
        port = rig.free_port()
    options = ("--port", str(port), "--cluster-enabled", "yes", "--bind", "127.0.0.1")
    with EmbeddedServer(binary=rig.need("redis-server"), options=options):
        link = link_to(f"redis://127.0.0.1:{port}", timeout_s=5)

        with pytest.raises(Misconfigured, match="redis\\+cluster://"):
            await link.start()
        await link.close()


async def test_an_error_is_told_once(link: ServerLink, caplog: pytest.LogCaptureFixture) -> None:
    """However it is asked for: a heartbeat asks for all results, and learns of its own alone."""
    await link.pipeline([("SET", "a", "x")])
    for _ in range(5):
        await link.results([("ZADD", "a", "1", "b")])

    assert caplog.text.count("WRONGTYPE") == 1

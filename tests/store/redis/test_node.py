"""A node in real trouble: failover behind one address, few connections, slow links, crowds of our own."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any

import pytest
from redis import Redis

from presence_svc.errors import Overloaded, Unavailable
from presence_svc.store.redis import pool
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from presence_svc.store.redis.link import ServerLink
from tests import rig
from tests.live.eventually import eventually
from tests.live.proxy import Proxy

PRIMARY_WITHIN_S = 3.0
BUSY_S = 2.0  # what a busy machine may add


@pytest.fixture
def second_server() -> Iterator[EmbeddedServer]:
    """Listens on TCP too, so that the first may follow it."""
    port = rig.free_port()
    with EmbeddedServer(options=("--port", str(port), "--bind", "127.0.0.1")) as server:
        server.tcp_port = port  # type: ignore[attr-defined]
        yield server


async def _writes(link: ServerLink) -> bool:
    try:
        await link.pipeline([("SET", "k", "v")])
    except Unavailable:
        return False
    return True


async def test_failover_behind_one_address(own_server: EmbeddedServer, second_server: EmbeddedServer) -> None:
    """The old primary lives on as a replica behind open connections: they are left, writes go on in 3 s."""
    async with Proxy(own_server.url) as proxy:
        link = link_to(proxy.url, timeout_s=0.3)
        back: list[int] = []
        link.observe(on_back=lambda: back.append(1))
        await asyncio.gather(*(link.pipeline([("SET", "k", "v")]) for _ in range(8)))

        proxy.lead_to(second_server.url)  # new connections only: DNS or a virtual address has moved
        with Redis.from_url(own_server.url) as old:
            old.replicaof("127.0.0.1", second_server.tcp_port)  # type: ignore[attr-defined]
        began = time.monotonic()
        await eventually("writes are taken", lambda: _writes(link), within_s=PRIMARY_WITHIN_S + BUSY_S)
        took_s = time.monotonic() - began
        for _ in range(50):
            await link.pipeline([("SET", "k", "new")])

        with Redis.from_url(second_server.url) as new:
            assert new.get("k") == b"new"
        assert took_s < PRIMARY_WITHIN_S + BUSY_S
        assert back
        await link.close()


@pytest.mark.parametrize("code", ["READONLY", "LOADING", "MASTERDOWN"])
async def test_who_serves_nobody_is_left(own_server: EmbeddedServer, code: str) -> None:
    """Each word for "not me, not now" closes the connection: the next one may lead to who serves."""
    async with Proxy(own_server.url) as proxy:
        link = link_to(proxy.url, timeout_s=1)
        await link.pipeline([("PING",)])
        dialled = proxy.accepted
        (reply,) = await link.results([("EVAL", f"return redis.error_reply('{code} no')", 0)])
        assert isinstance(reply, Unavailable)
        assert link.away

        await eventually("back", lambda: not link.away, within_s=5)

        assert proxy.accepted > dialled
        await link.close()


async def test_few_connections_are_enough(own_server: EmbeddedServer) -> None:
    """With maxclients met, what is open works on, nothing is called away, and room that comes is used."""
    with Redis.from_url(own_server.url) as admin:
        admin.config_set("maxclients", 8)
        link = link_to(own_server.url, timeout_s=2, pool=16)
        await asyncio.gather(*(link.pipeline([("PING",)]) for _ in range(4)))
        crowd = []
        for _ in range(20):  # others take all the room that is left
            other = Redis.from_url(own_server.url)
            try:
                other.ping()
            except Exception:
                other.close()
                break
            crowd.append(other)

        replies = await asyncio.gather(*(link.pipeline([("ECHO", n)]) for n in range(200)))
        assert replies == [[b"%d" % n] for n in range(200)]
        assert not link.away

        for other in crowd:
            other.close()
        await asyncio.gather(*(link.pipeline([("ECHO", n)]) for n in range(200)))
        assert not link.away
        await link.close()


async def test_no_connection_at_all_recovers_by_itself(own_server: EmbeddedServer) -> None:
    """A burst of others took every place before our first connection: 503 meanwhile, then service."""
    with Redis.from_url(own_server.url) as admin:
        admin.config_set("maxclients", 5)
        crowd = [Redis.from_url(own_server.url) for _ in range(4)]
        for other in crowd:
            other.ping()
        link = link_to(own_server.url, timeout_s=1)
        with pytest.raises(Unavailable, match=r"no more clients|away"):
            await link.pipeline([("PING",)])
        for other in crowd:
            other.close()

        await eventually("served", lambda: _writes(link), within_s=5)
        await link.close()


async def test_slower_than_usual_is_served(own_server: EmbeddedServer) -> None:
    """Each answer takes 0.2 s of a deadline of 0.3 s: dialling has a deadline of its own, all is served."""
    async with Proxy(own_server.url) as proxy:
        proxy.delay_s = 0.15
        link = link_to(proxy.url, timeout_s=0.3)
        await eventually("connected", lambda: _writes(link), within_s=5)

        served = 0
        for _ in range(20):  # a busy machine may be late now and then
            served += await _writes(link)
            if served == 8:
                break
            await asyncio.sleep(0.1)

        assert served == 8
        await link.close()


async def test_a_late_loop_is_no_late_redis(own_server: EmbeddedServer) -> None:
    """Our own process stands still past the deadline while the answer lies in the socket: it is taken."""
    link = link_to(own_server.url, timeout_s=0.1)
    await link.pipeline([("PING",)])
    for _ in range(5):
        asked = asyncio.ensure_future(link.pipeline([("ECHO", "there")]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 - this is the fault
        assert await asked == [b"there"]
    assert not link.away
    await link.close()


async def test_a_crowd_of_our_own_is_no_absence(own_server: EmbeddedServer) -> None:
    """More low-priority callers than can be served in time: they are refused, and heartbeats go on."""
    async with Proxy(own_server.url) as proxy:
        link = link_to(proxy.url, timeout_s=0.3, pool=4)
        await link.pipeline([("PING",)])
        proxy.delay_s = 0.05
        crowd = [asyncio.ensure_future(link.pipeline([("PING",)], low_priority=True)) for _ in range(400)]
        await asyncio.sleep(0.05)
        beats = [await _writes(link) for _ in range(5)]
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)

        refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert refused
        assert {type(error) for error in refused} == {Overloaded}
        assert beats.count(True) >= 4  # a busy machine may be late for one
        assert not link.away
        await link.close()


async def test_a_slow_read_does_not_count_against_redis(own_server: EmbeddedServer) -> None:
    """A low-priority call past its deadline fails alone: the next write is sent, not refused."""
    slow = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 2 do end return 1"
    link = link_to(own_server.url, timeout_s=0.2)
    await link.pipeline([("PING",)])
    with pytest.raises(Unavailable, match="does not answer"):
        await link.pipeline([("EVAL", slow, 0)], low_priority=True)

    assert not link.away
    await link.close()


async def test_nobody_pays_for_a_dead_connection(
    own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NAT has dropped what was idle without a word: it is asked before it is used, and replaced."""
    monkeypatch.setattr(pool, "IDLE_S", 0.3)
    async with Proxy(own_server.url) as proxy:
        link = link_to(proxy.url, timeout_s=2)
        await asyncio.gather(*(link.pipeline([("PING",)]) for _ in range(6)))
        await asyncio.sleep(0.5)
        proxy.forget()  # connections stay open, and whatever is sent on them goes nowhere

        for n in range(10):
            assert await link.pipeline([("ECHO", n)]) == [b"%d" % n]
        assert not link.away
        await link.close()


async def test_the_log_has_a_line_for_each_state(
    own_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A full Redis refuses each of 300 heartbeats: all are counted, one line says so, one that it is over."""
    link = link_to(own_server.url, timeout_s=2)
    counted: list[str] = []
    link.observe(on_refusal=counted.append)
    await link.pipeline([("CONFIG", "SET", "maxmemory", "1")])
    for _ in range(300):
        (reply,) = await link.results([("SET", "k", "v")])
        assert isinstance(reply, Unavailable)
    assert link.refusing == "OOM"
    await link.pipeline([("CONFIG", "SET", "maxmemory", "0")])
    await eventually("over", lambda: link.refusing == "", within_s=5)

    said = [record.message for record in caplog.records if record.name == "presence.redis"]
    assert counted[:300] == ["OOM"] * 300
    assert said == ["redis accepts no writes: OOM", "redis accepts writes again"]
    assert not link.away
    await link.close()


NAME = "redis.example"


def _resolves_to(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """The name has these addresses, in another order each time, as some resolvers have it."""
    loop = asyncio.get_running_loop()
    real, turn = loop.getaddrinfo, count()

    async def found(host: str, port: int, **options: Any) -> Any:
        if host != NAME:
            return await real(host, port, **options)
        at = next(turn) % len(hosts)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in (*hosts[at:], *hosts[:at])
        ]

    monkeypatch.setattr(loop, "getaddrinfo", found)


@pytest.fixture
def on_two_addresses() -> Iterator[tuple[int, EmbeddedServer, EmbeddedServer]]:
    """A port, and two servers on it, at 127.0.0.2 and 127.0.0.3."""
    port = rig.free_port()
    first = EmbeddedServer(options=("--port", str(port), "--bind", "127.0.0.2"))
    second = EmbeddedServer(options=("--port", str(port), "--bind", "127.0.0.3"))
    with first, second:
        yield port, first, second


async def test_a_name_with_replicas_behind_it_leads_to_the_primary(
    on_two_addresses: tuple[int, EmbeddedServer, EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A headless service of Kubernetes has all pods' addresses, in any order; also after a failover."""
    port, first, second = on_two_addresses
    for primary, replica, address in ((second, first, "127.0.0.3"), (first, second, "127.0.0.2")):
        with Redis.from_url(primary.url) as client:
            client.replicaof("NO", "ONE")
        with Redis.from_url(replica.url) as client:
            client.replicaof(address, str(port))
        _resolves_to(monkeypatch, "127.0.0.2", "127.0.0.3")
        link = link_to(f"redis://{NAME}:{port}", timeout_s=0.3)

        await eventually("writes", partial(_writes, link), within_s=PRIMARY_WITHIN_S + BUSY_S)

        subscription = await link.subscription(link.pubsub_addresses()[0])
        results = [await _writes(link) for _ in range(50)]
        assert all(results)  # and stays there, however the resolver shuffles
        peer = subscription._transport.get_extra_info("peername")  # type: ignore[union-attr]
        assert peer[0] == address
        subscription.close()
        await link.close()
        monkeypatch.undo()


async def test_an_address_that_is_silent_does_not_take_the_others_time(
    on_two_addresses: tuple[int, EmbeddedServer, EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPv6 that leads nowhere, before IPv4 that would do: asked first, it had all of a dial's deadline."""
    port, _, _ = on_two_addresses
    with socket.socket() as silent, ExitStack() as stack:
        silent.bind(("127.0.0.1", port))
        silent.listen(0)
        for _ in range(4):  # whoever comes after these gets no answer
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        _resolves_to(monkeypatch, "127.0.0.1", "127.0.0.3")
        link = link_to(f"redis://{NAME}:{port}", timeout_s=0.3)
        await link.warm()

        assert await _writes(link)
        assert link.node.address_index % 2 == 1  # the next one is not dialled at the silent address again
        await link.close()

"""Exchanges on a wire: on every kind of connection and loop, and whatever comes back on it."""

from __future__ import annotations

import asyncio
import datetime
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from presence_svc.errors import Unavailable
from presence_svc.model import Heartbeat
from presence_svc.settings import load
from presence_svc.store import scripts
from presence_svc.store.keys import Keys
from presence_svc.store.presence import Presence
from presence_svc.store.redis.connection import dial
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from presence_svc.store.redis.link import ServerLink
from presence_svc.store.redis.url import parse
from presence_svc.store.write import NEWEST, HeartbeatWrite
from tests.live.proxy import Proxy
from tests.store.redis.fake_redis import fake_redis

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
PING = hiredis.pack_command(("PING",))
on_every_loop = pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def run(new_loop: NewLoop, test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(test, 10))


@asynccontextmanager
async def linked(url: str, timeout_s: float = 2, pool: int = 4) -> AsyncIterator[ServerLink]:
    link = link_to(url, timeout_s=timeout_s, pool=pool)
    yield link
    await link.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS, signed by itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def _is_used_again(url: str) -> None:
    address, access = parse(url)
    wire = await dial(address, access, timeout_s=5)
    for _ in range(2):
        assert len(await wire.exchange(PING * 2, 2, asyncio.get_running_loop().time() + 5)) == 2
        assert wire.is_ready
    wire.abort()


@on_every_loop
def test_a_wire_is_dialled_and_used_again(
    new_loop: NewLoop, own_server: EmbeddedServer, certificate: ssl.SSLContext
) -> None:
    """On unix sockets, TCP and TLS."""

    async def test() -> None:
        await _is_used_again(own_server.url)
        async with Proxy(own_server.url) as proxy:
            await _is_used_again(proxy.url)
        async with fake_redis({}, certificate) as url:
            await _is_used_again(url)

    run(new_loop, test())


@on_every_loop
def test_replies_come_in_any_pieces(new_loop: NewLoop, certificate: ssl.SSLContext) -> None:
    """Byte by byte, together, nested, with errors among them: a reply for each command."""
    array = [1, b"a\r\n", None]
    whole = b"*3\r\n:1\r\n$3\r\na\r\n\r\n*-1\r\n"
    script = {b"A": [whole[i : i + 1] for i in range(len(whole))], b"B": [b"-ERR no\r\n"], b"C": [b"$-1\r\n"]}

    async def test(context: ssl.SSLContext | None) -> None:
        async with fake_redis(script, context) as url, linked(url) as link:
            for _ in range(3):
                assert await link.pipeline([("A",), ("C",), ("A",)]) == [array, None, array]
                with pytest.raises(Unavailable, match="an error"):
                    await link.pipeline([("B",), ("C",)])
            assert not link.away

    run(new_loop, test(None))
    run(new_loop, test(certificate))


@on_every_loop
@pytest.mark.parametrize(
    "packets",
    [
        [b"-LOADING Redis is loading the dataset in memory\r\n"],
        [b"-NOAUTH Authentication required.\r\n"],
        [b"?what\r\n"],
        [b"+one\r\n+two\r\n"],
        [b":1"],
        [],
    ],
)
def test_what_is_no_answer_is_unavailable_and_ends_the_connection(
    new_loop: NewLoop, packets: list[bytes]
) -> None:
    """Loading, no password, rubbish, too much, half a reply, none: nothing of it meets the next question."""

    async def test() -> None:
        async with fake_redis({b"A": packets, b"B": [b"+b\r\n"]}) as url, linked(url, 0.2) as link:
            with pytest.raises(Unavailable):
                await link.pipeline([("A",)])
            link.node.health.away = False
            assert await link.pipeline([("B",)]) == [b"b"]

    run(new_loop, test())


@on_every_loop
def test_what_nobody_has_asked_for_is_nobody_s_answer(new_loop: NewLoop) -> None:
    """A reply that comes too late or uncalled for ends its connection before the next question."""

    async def test() -> None:
        script = {b"A": [b"+a\r\n", b"+uncalled\r\n"], b"B": [b"+b\r\n"]}
        async with fake_redis(script) as url, linked(url) as link:
            for _ in range(3):
                assert await link.pipeline([("A",)]) == [b"a"]
                await asyncio.sleep(0.1)
                assert await link.pipeline([("B",)]) == [b"b"]
            assert not link.away

    run(new_loop, test())


@on_every_loop
def test_a_connection_that_was_lost_while_idle_is_replaced(
    new_loop: NewLoop, own_server: EmbeddedServer
) -> None:
    """Nobody learns of it: nothing was under way."""

    async def test() -> None:
        async with Proxy(own_server.url) as proxy, linked(proxy.url) as link:
            for _ in range(5):
                assert await link.pipeline([("ECHO", "x")]) == [b"x"]
                proxy.cut()
                await asyncio.sleep(0.02)
            assert not link.away

    run(new_loop, test())


@on_every_loop
def test_a_connection_that_is_lost_under_way_is_told_at_once(
    new_loop: NewLoop, own_server: EmbeddedServer
) -> None:
    """Not at the deadline; and what counts up is not sent a second time."""

    async def test() -> None:
        async with Proxy(own_server.url) as proxy, linked(proxy.url, 5) as link:
            await link.pipeline([("SET", "n", 0)])
            proxy.swallow_replies = True
            asked = asyncio.ensure_future(link.pipeline([("INCR", "n")]))
            await asyncio.sleep(0.05)
            proxy.cut()
            proxy.swallow_replies = False
            with pytest.raises(Unavailable):
                await asyncio.wait_for(asked, 1)
            link.node.health.away = False
            assert await link.pipeline([("GET", "n")]) == [b"1"]

    run(new_loop, test())


@on_every_loop
def test_what_may_run_twice_is_asked_again(new_loop: NewLoop, own_server: EmbeddedServer) -> None:
    """A connection is lost under a read or a script: a new one is dialled, and nobody is told of it."""

    async def test() -> None:
        async with Proxy(own_server.url) as proxy, linked(proxy.url, 5) as link:
            keys = Keys("presence").check(Keys("presence").partitions[0])
            check = ("EVALSHA", scripts.CHECK, len(keys), *keys, "presence:bus:check")
            await link.pipeline([check])
            for command in (("GET", "n"), check):
                proxy.swallow_replies = True
                asked = asyncio.ensure_future(link.pipeline([command]))
                await asyncio.sleep(0.05)
                proxy.cut()
                proxy.swallow_replies = False
                await asyncio.wait_for(asked, 4)
            assert not link.away

    run(new_loop, test())


@on_every_loop
def test_a_session_starts_over_once(new_loop: NewLoop, own_server: EmbeddedServer) -> None:
    """S6: with the seq "+" it is newer than any leave, also than one that came after it."""
    write = HeartbeatWrite("c1", "ada", Heartbeat(viewer_id="ada"))

    async def test() -> None:
        async with Proxy(own_server.url) as proxy, linked(proxy.url, 5) as link:
            presence = Presence(link, load())
            await presence.heartbeat(write)
            proxy.swallow_replies = True
            asked = presence.heartbeat(write, NEWEST)
            await asyncio.sleep(0.05)
            proxy.cut()
            proxy.swallow_replies = False
            with pytest.raises(Unavailable):
                await asyncio.wait_for(asked, 4)

    run(new_loop, test())


@on_every_loop
def test_a_cancelled_question_s_answer_is_nobody_s(new_loop: NewLoop, own_server: EmbeddedServer) -> None:
    """R13: 1,000 calls, half of them cancelled at random moments: every answer is to its own question."""
    chance = random.Random(13)

    async def test() -> None:
        async with Proxy(own_server.url) as proxy, linked(proxy.url, 5) as link:
            proxy.delay_s = 0.001

            async def ask(n: int) -> None:
                assert await link.pipeline([("ECHO", n)]) == [b"%d" % n]

            for start in range(0, 1_000, 20):
                tasks = [asyncio.ensure_future(ask(n)) for n in range(start, start + 20)]
                await asyncio.sleep(chance.uniform(0, 0.004))
                for task in chance.sample(tasks, 10):
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}

    run(new_loop, test())


async def _use(pool: int, own_server: EmbeddedServer) -> None:
    async with linked(own_server.url, pool=pool) as link:

        async def ask(n: int) -> None:
            for _ in range(20):
                assert await link.pipeline([("ECHO", n)]) == [b"%d" % n]

        others: list[Awaitable[Any]] = [link.node.client.ping() for _ in range(20)]
        await asyncio.gather(*(ask(n) for n in range(20)), *others)
        await link.pipeline([("PING",)])
        await link.node.client.ping()


@on_every_loop
@pytest.mark.parametrize("pool", [1, 2, 4, 16])
def test_nobody_starves_while_wires_are_kept(
    new_loop: NewLoop, own_server: EmbeddedServer, pool: int
) -> None:
    """However small the pool, whoever waits for a connection gets one; also by redis-py's own commands."""
    run(new_loop, _use(pool, own_server))

"""What is refused at start: an old Redis, and a prefix that another database of the same server is using."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis
import pytest

from presence_svc.errors import Misconfigured
from presence_svc.store.checkup.preflight import preflight
from presence_svc.store.keys import Keys
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from tests.conftest import SpawnService
from tests.rig import Backend

KEYS = Keys("presence")


@asynccontextmanager
async def old_redis(info: bytes) -> AsyncIterator[str]:
    """Says this to INFO."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        while data := await reader.read(65_536):
            commands.feed(data)
            while command := commands.gets():
                writer.write({b"INFO": info, b"PUBSUB": b"*0\r\n"}.get(command[0], b"+OK\r\n"))
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.05)  # those who are served see their end


@pytest.mark.parametrize(
    ("info", "refused"),
    [
        (b"# Server\r\nredis_version:6.2.14\r\n", True),
        (b"# Server\r\nredis_version:5.0.3\r\n", True),
        (b"# Server\r\nredis_version:7.0.0\r\n", False),
        (b"# Server\r\nredis_version:7.2.4\r\nvalkey_version:9.1.0\r\n", False),
        (None, False),
    ],
)
async def test_an_old_redis_is_refused_by_its_version(info: bytes | None, refused: bool) -> None:
    """6.2 lacks what the scripts need: said at start, not at the first heartbeat. No right to ask: go on."""
    packed = b"-NOPERM no\r\n" if info is None else b"$%d\r\n%b\r\n" % (len(info), info)
    async with old_redis(packed) as url:
        link = link_to(url, timeout_s=5)
        if refused:
            with pytest.raises(Misconfigured, match=r"too old: 7\.0"):
                await preflight(link, KEYS)
        else:
            await preflight(link, KEYS)
        await link.close()


async def test_every_real_server_passes(real_backend: Backend) -> None:
    """Both kinds, alone in their database."""
    link = link_to(str(real_backend.url), timeout_s=5)
    await preflight(link, KEYS)
    await link.close()


def test_one_prefix_is_in_one_database(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """Channels know no databases: the second deployment is refused; with another prefix it is not."""
    spawn_service({"PRESENCE_REDIS_URL": f"{own_server.url}?db=0"})
    with pytest.raises(RuntimeError, match="database 0 of this Redis, and ours is database 1") as refused:
        spawn_service({"PRESENCE_REDIS_URL": f"{own_server.url}?db=1"})
    assert "Traceback" not in str(refused.value)

    spawn_service({"PRESENCE_REDIS_URL": f"{own_server.url}?db=1", "PRESENCE_KEY_PREFIX": "other"})
    spawn_service({"PRESENCE_REDIS_URL": f"{own_server.url}?db=0"})


@pytest.mark.parametrize(
    ("memory", "policy", "told"), [("100mb", "allkeys-lru", True), ("0", "allkeys-lru", False)]
)
async def test_a_redis_that_may_drop_viewers_is_told_of(
    own_server: EmbeddedServer, caplog: pytest.LogCaptureFixture, memory: str, policy: str, told: bool
) -> None:
    """R8: managed plans evict by default, and the log is where it is looked for; `doctor` says it too."""
    link = link_to(own_server.url, timeout_s=5)
    await link.pipeline(
        [("CONFIG", "SET", "maxmemory-policy", policy), ("CONFIG", "SET", "maxmemory", memory)]
    )

    await preflight(link, KEYS, warns=True)
    await preflight(link, KEYS)

    assert caplog.text.count(policy) == int(told)
    await link.close()

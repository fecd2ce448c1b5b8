"""What is refused at start: an old Redis, and a prefix that another database of the same server is using."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from contextlib import AbstractAsyncContextManager

import pytest

from presence_svc.errors import Misconfigured
from presence_svc.store.checkup.preflight import preflight
from presence_svc.store.keys import Keys
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from tests.conftest import SpawnService
from tests.rig import ROOT, Backend
from tests.store.redis.fake_redis import fake_redis

KEYS = Keys("presence")


def old_redis(info: bytes) -> AbstractAsyncContextManager[str]:
    """Says this to INFO."""
    return fake_redis({b"INFO": [info], b"PUBSUB": [b"*0\r\n"]})


# What servers say they are, by their own words.
SAID = {
    "Redis 5": ("redis_version:5.0.3\r\nredis_mode:standalone\r\n", True),
    "Redis 6.2": ("redis_version:6.2.14\r\nredis_git_sha1:00000000\r\n", True),
    "KeyDB 6.3": ("redis_version:6.3.4\r\nredis_git_sha1:7e7e5e57\r\nmvcc_depth:0\r\n", True),
    "an old Dragonfly": ("redis_version:6.2.11\r\ndragonfly_version:df-v1.13.0\r\n", True),
    "Redis 7.0.0": ("redis_version:7.0.0\r\n", False),
    "Redis 8.2": ("redis_version:8.2.1\r\n", False),
    "Redis 10": ("redis_version:10.0.0\r\n", False),
    "Valkey 7.2": ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.2.11\r\n", False),
    "Valkey 8.1": ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.3\r\n", False),
    "Valkey 9.1": ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.0\r\n", False),
    "Dragonfly": ("redis_version:7.4.0\r\ndragonfly_version:df-v1.34.0\r\n", False),
    "nothing": ("", False),
    "a fork that counts in its own way": ("redis_version:unstable\r\n", False),
    "who may not ask": (None, False),
}


@pytest.mark.parametrize(("info", "refused"), SAID.values(), ids=SAID)
async def test_an_old_redis_is_refused_by_its_version(info: str | None, refused: bool) -> None:
    """6.2 lacks what the scripts need: said at start, not at the first heartbeat. No right to ask: go on."""
    async with old_redis(_packed(info)) as url:
        link = link_to(url, timeout_s=5)
        if refused:
            with pytest.raises(Misconfigured, match=r"too old: Redis 7\.0"):
                await preflight(link, KEYS)
        else:
            await preflight(link, KEYS)
        await link.close()


def _packed(info: str | None) -> bytes:
    said = f"# Server\r\n{info}".encode()
    return b"-NOPERM no\r\n" if info is None else b"$%d\r\n%b\r\n" % (len(said), said)


async def test_nothing_starts_on_an_old_redis() -> None:
    """`serve` says which version it is and which it must be, without a trace."""
    async with old_redis(_packed(SAID["Redis 6.2"][0])) as url:
        env = {**os.environ, "PRESENCE_REDIS_URL": url, "PRESENCE_PORT": "0"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "presence_svc", "serve", env=env, cwd=ROOT, stdout=PIPE, stderr=STDOUT
        )
        async with asyncio.timeout(20):
            said, _ = await process.communicate()

    assert process.returncode not in (0, None)
    assert b"6.2.14 is too old: Redis 7.0 or newer is needed, or Valkey" in said
    assert b"Traceback" not in said


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

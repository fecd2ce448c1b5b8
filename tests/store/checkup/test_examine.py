"""What doctor looks at in Redis: findings are right about what is wrong, and only about that."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from presence_svc.errors import Unavailable
from presence_svc.model import Heartbeat, Leave
from presence_svc.settings import load
from presence_svc.store.checkup import consistency
from presence_svc.store.checkup.examine import _version, examine
from presence_svc.store.checkup.finding import Finding
from presence_svc.store.keys import Keys
from presence_svc.store.presence import Presence
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import open_link
from presence_svc.store.write import HeartbeatWrite, LeaveWrite
from tests.rig import DEBIAN, Backend, free_port

KEYS = Keys("presence")


async def _people(url: str, course: str, names: list[str]) -> None:
    """Puts viewers into a course; the last one leaves again."""
    settings = load(redis_url=url)
    link = open_link(settings)
    presence = Presence(link, settings)
    for name in names:
        await presence.heartbeat(HeartbeatWrite(course, name, Heartbeat(viewer_id=name)))
    await presence.leave(LeaveWrite(course, names[-1], Leave(viewer_id=names[-1])))
    await presence.close()
    await link.close()


async def _found(redis: Redis) -> dict[str, Finding]:
    return {finding.what: finding for finding in await examine(redis, KEYS)}


async def test_a_healthy_redis_has_only_fine_findings(real_backend: Backend) -> None:
    """With people coming and going in two courses, nothing is wrong on any kind of server."""
    for course in ("a", "b"):
        await _people(str(real_backend.url), course, ["ada", "bob", "eve"])

    found = await _found(real_backend.client())

    assert all(finding.fine for finding in found.values()), found
    assert found["consistency"].detail.startswith("4 viewers")
    assert found["version"].detail.startswith("Redis 7.0" if real_backend.kind == DEBIAN else "Valkey")


async def test_a_viewer_without_a_hash_is_found(valkey_backend: Backend) -> None:
    """Somebody who is counted and of whom nothing is known is named."""
    redis = valkey_backend.client()
    await _people(str(valkey_backend.url), "a", ["ada", "bob", "eve"])
    await redis.delete(KEYS.viewer("a", "bob"))

    finding = (await _found(redis))["consistency"]

    assert not finding.fine
    assert finding.detail == "1 of 2 viewers have only one of hash and set entry: bob in a"


async def test_a_hash_without_a_place_is_found(valkey_backend: Backend) -> None:
    """Somebody who is known and not counted is named, too."""
    redis = valkey_backend.client()
    await _people(str(valkey_backend.url), "a", ["ada", "bob", "eve"])
    await redis.zrem(KEYS.course("a").viewers, "ada")

    finding = (await _found(redis))["consistency"]

    assert not finding.fine
    assert finding.detail == "1 of 2 viewers have only one of hash and set entry: ada in a"


async def test_the_sample_is_bounded(valkey_backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor must not read a million viewers: it stops at its sample's size."""
    monkeypatch.setattr(consistency, "SAMPLE", 5)
    await _people(str(valkey_backend.url), "a", [f"viewer-{number}" for number in range(31)])

    finding = (await _found(valkey_backend.client()))["consistency"]

    assert finding.fine
    assert int(finding.detail.split()[0]) <= 10


@pytest.mark.parametrize(
    ("info", "fine"),
    [
        ({"redis_version": "6.2.14"}, False),
        ({"redis_version": "7.0.15"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, True),
        ({"redis_version": "10.0.0"}, True),
    ],
)
def test_versions_before_seven_are_refused(info: dict[str, str], fine: bool) -> None:
    """The scripts need Redis 7.0; Valkey names the Redis that it is like."""
    assert _version(info).fine is fine


async def test_no_answer_is_unavailable() -> None:
    """A Redis that is not there is one error of ours, whatever the client raises."""
    async with Redis(port=free_port()) as redis:
        with pytest.raises(Unavailable, match="Redis: "):
            await examine(redis, KEYS)


async def test_a_server_that_allows_fewer_connections_than_the_pool_opens_is_found(
    own_server: EmbeddedServer,
) -> None:
    """Managed plans allow 20 to 30: doctor says what to set, and nothing where there is room."""
    async with Redis.from_url(own_server.url) as redis:
        roomy = (await _found(redis))["connections"]
        await redis.config_set("maxclients", 4)
        narrow = (await _found(redis))["connections"]

    assert roomy.fine
    assert not narrow.fine
    assert narrow.detail.startswith("4 allowed, 1 process(es) of the service may open ")
    assert "set PRESENCE_REDIS_POOL to 2 or less, or raise maxclients" in narrow.detail

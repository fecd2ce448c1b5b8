"""`presence-svc sweep` on a Cluster: all partitions of all masters; what could not be looked at is said."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from presence_svc.commands import sweep
from presence_svc.errors import Unavailable
from presence_svc.model import Heartbeat
from presence_svc.settings import load
from presence_svc.store.presence import Presence
from presence_svc.store.redis.factory import open_link
from presence_svc.store.redis.subscription import Subscription
from presence_svc.store.redis.url import Address, parse
from presence_svc.store.write import HeartbeatWrite
from tests.cluster_rig import Cluster, cluster

COURSES = [f"c{n}" for n in range(60)]
SHORT = {"PRESENCE_TTL": "1", "PRESENCE_HEARTBEAT_INTERVAL": "0.5", "PRESENCE_LEAVE_GRACE": "0.5"}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What expires soon; sets outlive their leases by HIDDEN_TTL."""
    for name, value in SHORT.items():
        monkeypatch.setenv(name, value)


async def fill(url: str) -> None:
    """One viewer in each course, from a replica that is never heard of again."""
    settings = load(redis_url=url)
    link = open_link(settings, timeout_s=10)
    presence = Presence(link, settings)
    beats = [HeartbeatWrite(course, "ada", Heartbeat(viewer_id="ada")) for course in COURSES]
    assert [found.total for found in await asyncio.gather(*map(presence.heartbeat, beats))] == [1] * 60
    await presence.close()
    await link.close()


def test_all_masters_are_swept(
    empty_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """S9 without a service: the lapsed of all courses go, and each change is heard at its master."""
    monkeypatch.setenv("PRESENCE_REDIS_URL", empty_cluster.url)
    asyncio.run(fill(empty_cluster.url))
    time.sleep(1.1)

    heard = asyncio.run(_heard_meanwhile(empty_cluster, "c1"))
    told = json.loads(capsys.readouterr().out)
    sweep.run()

    assert told == {"courses": 60, "viewers": 60}
    assert capsys.readouterr().out == "0 courses checked, 0 viewers removed\n"
    assert heard["total"] == 0


async def _heard_meanwhile(servers: Cluster, course: str) -> dict[str, object]:
    """Sweeps, and gives the last message of a course."""
    settings = load(redis_url=servers.url)
    presence = Presence(open_link(settings), settings)
    channel, port = presence.keys.channel(course), servers.owner_of(presence.keys.channel(course)).port
    _, access = parse(f"redis://:{servers.password}@127.0.0.1:{port}")
    ear = await Subscription.open(Address("127.0.0.1", port), access, sharded=True)
    ear.subscribe([channel])
    confirmed = await ear.get(10)
    assert confirmed is not None
    await asyncio.to_thread(sweep.run, as_json=True)
    event = await ear.get(10)
    assert event is not None
    ear.close()
    message: dict[str, object] = json.loads(event.data)
    return message


@pytest.mark.timeout(60)
def test_what_is_away_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are swept all the same; the message counts the partitions that were not."""
    with cluster(replicas=0) as servers:
        monkeypatch.setenv("PRESENCE_REDIS_URL", servers.url)
        asyncio.run(fill(servers.url))
        time.sleep(1.1)
        servers.kill(servers.servers[0])

        with pytest.raises(Unavailable, match=r"^8[56] partitions were not checked"):
            sweep.run(as_json=True)
        told = json.loads(capsys.readouterr().out)

    assert 0 < told["viewers"] < 60

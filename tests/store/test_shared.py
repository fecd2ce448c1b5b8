"""What is made with the replicas' common secret: the same everywhere, or nothing yet (S10)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from presence_svc.auth.anonymous_ids import AnonymousIds, Pseudonyms
from presence_svc.auth.leave_token import LeaveTokens
from presence_svc.errors import Unavailable
from presence_svc.metrics import Metrics
from presence_svc.replica import build
from presence_svc.settings import load
from presence_svc.store.agenda import Agenda
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import open_link
from presence_svc.store.redis.link import Link
from presence_svc.store.shared import Shared
from tests.live.eventually import eventually
from tests.store.replica import Replica

SESSION = "0123456789abcdef"
MADE: dict[str, Callable[[Replica, Shared], object]] = {
    "anonymous id": lambda replica, shared: AnonymousIds(shared).of("c1", SESSION),
    "previous id": lambda replica, shared: AnonymousIds(shared).previous("c1", SESSION),
    "pseudonym": lambda replica, shared: Pseudonyms(replica.link, replica.settings, shared).of("c1", "u1"),
    "leave token": lambda replica, shared: LeaveTokens(shared).make("c1", "u1", SESSION),
    "leave": lambda replica, shared: LeaveTokens(shared).holds("0" * 32, "c1", "u1", SESSION),
}


@pytest.mark.parametrize("what", MADE)
async def test_a_replica_that_starts_without_redis_makes_nothing_for_itself_alone(
    replica: Replica, other: Replica, what: str
) -> None:
    """S10: an id under a secret of its own would be a second viewer for the same session, for a TTL."""
    await other.shared.refresh()
    replica.node.health.away = True
    with pytest.raises(Unavailable):
        await replica.shared.refresh()

    with pytest.raises(Unavailable, match="not known"):
        MADE[what](replica, replica.shared)
    replica.node.health.away = False
    await replica.shared.refresh()

    assert MADE[what](replica, replica.shared) == MADE[what](other, other.shared)


async def test_the_secret_comes_with_redis(own_server: EmbeddedServer) -> None:
    """A replica that has started without Redis is of use as soon as Redis is there, not a sweep later."""
    settings = load(redis_url=own_server.url, sweep_interval=60)
    link = open_link(settings)
    service, sweeper = build(settings, link, Metrics())
    own_server.stop()
    sweeper.start()
    await eventually("redis is missed", lambda: link.away)
    assert not service.leave_tokens.secret

    await asyncio.to_thread(own_server.start)

    await eventually("the secret is known", lambda: service.leave_tokens.secret, within_s=20)
    await sweeper.stop()
    await service.presence.close()
    await link.close()


async def test_a_secret_that_redis_has_lost_is_given_back(replica: Replica, other: Replica) -> None:
    """After a restart without data the ids stay what they were: replicas that know the secret keep it."""
    await replica.shared.refresh()
    secret = replica.shared.secret
    await replica.redis.flushall()
    await replica.shared.refresh()
    await other.shared.refresh()

    assert replica.shared.secret == other.shared.secret == secret


async def test_older_data_is_not_the_data_that_was_known(tmp_path: Path) -> None:
    """S11: a restart from a snapshot has forgotten who came after it, however short it was: warming."""
    options = ("--appendonly", "no", "--dbfilename", "d.rdb")
    with EmbeddedServer(data_dir=tmp_path, options=options) as server:
        settings = load(redis_url=server.url, ttl=8, heartbeat_interval=1)
        link = open_link(settings)
        shared, agenda = Shared(link, settings), Agenda(link, settings)

        async def warms() -> bool:
            await agenda.due(everywhere=True)
            return (await shared.refresh()).warming

        async def is_warm() -> bool:
            return not await warms()

        await eventually("warm", is_warm, within_s=20, every_s=0.1)
        await link.pipeline([("SAVE",)])
        await asyncio.sleep(1)
        assert await is_warm()

        os.kill(server.pid, signal.SIGKILL)
        await eventually("dead", lambda: server.has_ended)
        await asyncio.to_thread(server.start)
        await eventually("back", lambda: _answers(link), within_s=10)

        assert await warms()
        await eventually("warm again", is_warm, within_s=20, every_s=0.1)
        await link.close()


async def _answers(link: Link) -> bool:
    try:
        await link.pipeline([("PING",)])
    except Unavailable:
        return False
    return True

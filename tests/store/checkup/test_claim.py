"""One prefix in one database, also when two processes start at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import pytest

from presence_svc.client import Count, watch
from presence_svc.errors import Misconfigured
from presence_svc.store.checkup import claim
from presence_svc.store.checkup.claim import Claim
from presence_svc.store.keys import Keys
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from tests.conftest import SpawnService

KEYS = Keys("presence")
ROUNDS = 15


async def _claimed(*urls: str) -> list[BaseException | None]:
    """Claims from all of these URLs at one moment."""
    links = [link_to(url, timeout_s=5) for url in urls]
    claims = [Claim(link, KEYS) for link in links]
    outcomes = await asyncio.gather(*(one.make() for one in claims), return_exceptions=True)
    for one, link in zip(claims, links, strict=True):
        one.release()
        await link.close()
    await asyncio.sleep(0)  # transports close at the loop's next turn
    return outcomes


async def test_of_two_that_start_together_one_is_refused(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every time, though nothing but the claims tells one of the other. Those of one database all start."""
    monkeypatch.setattr(claim, "TRIES", 1)
    for _ in range(ROUNDS):
        outcomes = await _claimed(f"{redis_url}?db=0", f"{redis_url}?db=1")
        assert {type(outcome) for outcome in outcomes} <= {Misconfigured, type(None)}
        assert any(outcomes)
        assert not any(await _claimed(*[f"{redis_url}?db=1"] * 3))


async def test_two_that_refuse_each_other_try_again(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After random pauses, so that as a rule one of them starts."""
    monkeypatch.setattr(claim, "PAUSE_S", (0.01, 0.3))
    monkeypatch.setattr(claim, "TRIES", 10)

    outcomes = await _claimed(f"{redis_url}?db=0", f"{redis_url}?db=1")

    assert [type(outcome) for outcome in outcomes if outcome] == [Misconfigured]


async def test_a_redis_that_is_away_prevents_no_start() -> None:
    """Nobody can be asked, and it may come later."""
    link = link_to("redis://127.0.0.1:1", timeout_s=0.2)
    await Claim(link, KEYS).make()
    await link.close()


async def test_a_watcher_of_another_database_is_refused(
    own_server: EmbeddedServer, spawn_service: SpawnService
) -> None:
    """It would hear the changes of courses that it cannot read."""
    await asyncio.to_thread(spawn_service, {"PRESENCE_REDIS_URL": own_server.url})
    async with asyncio.timeout(10):
        with pytest.raises(Misconfigured, match="in use in database 0"):
            await _first(f"{own_server.url}?db=1")
        assert (await _first(own_server.url)).total == 0


async def _first(url: str) -> Count:
    async with aclosing(cast(AsyncGenerator[Count, None], watch(url, "c1"))) as counts:
        return await anext(counts)

"""A subscription in trouble: what the log says of it, and what is no trouble at all."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from presence_svc.errors import Unavailable
from presence_svc.live import subscriber as module
from presence_svc.live.subscriber import Subscriber
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import link_to
from presence_svc.store.redis.link import Link
from presence_svc.store.redis.subscription import Event
from tests.live.eventually import eventually


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "presence.bus"]


async def test_a_redis_that_is_away_is_one_line(
    own_server: EmbeddedServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: for as long as it lasts; a line a try would be thousands an hour, from each replica."""
    monkeypatch.setattr(module, "RETRY_S", (0.01, 0.02))
    caplog.set_level(logging.WARNING)
    link = link_to(own_server.url, timeout_s=5)
    lost: list[Subscriber] = []
    heard: list[Event] = []
    subscriber = Subscriber(link, link.pubsub_addresses()[0], heard.append, lost.append)
    subscriber.add("presence:{c1}:changes")
    await eventually("subscribed", lambda: heard)

    own_server.stop()
    await eventually("tried often", lambda: len(lost) > 20)
    during = _said(caplog)
    await asyncio.to_thread(own_server.start)
    await eventually("subscribed again", lambda: len(heard) > 1, within_s=20)

    assert 1 <= len(during) <= 2  # closed, then refused
    assert all("subscription lost" in line for line in during)
    await eventually("said", lambda: _said(caplog)[len(during) :] == ["subscribed again"])
    await subscriber.stop()
    await link.close()


async def test_a_full_disk_is_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R8: Redis refuses PING while it cannot save: streams would be cut, though what is published arrives."""
    monkeypatch.setattr(module, "PING_S", 0.02)
    lost: list[Subscriber] = []
    heard: list[Event] = []
    with EmbeddedServer(data_dir=tmp_path / "d", options=("--appendonly", "no")) as server:
        link = link_to(server.url, timeout_s=5)
        subscriber = Subscriber(link, link.pubsub_addresses()[0], heard.append, lost.append)
        subscriber.add("presence:{c1}:changes")
        await eventually("subscribed", lambda: heard)
        shutil.rmtree(tmp_path / "d")
        await link.pipeline([("CONFIG", "SET", "save", "3600 1"), ("SET", "a", "b"), ("BGSAVE",)])
        await eventually("writes are refused", lambda: _refuses(link), within_s=10)
        await asyncio.sleep(0.5)  # some pings

        again = link_to(server.url, timeout_s=5)  # connections that are made meanwhile ping as well
        assert await again.pipeline([("GET", "a")]) == [b"b"]
        await again.pipeline([("PUBLISH", "presence:{c1}:changes", "x")])

        await eventually("heard", lambda: heard[-1].data == b"x")
        assert lost == []
        await subscriber.stop()
        for one in (link, again):
            await one.close()


async def _refuses(link: Link) -> bool:
    (result,) = await link.results([("SET", "a", "b")])
    return isinstance(result, Unavailable)

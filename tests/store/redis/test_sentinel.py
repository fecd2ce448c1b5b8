"""The way to a master under Sentinels: what is said while none is found, and that nothing else is dialled."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.errors import Unavailable
from presence_svc.settings import load
from presence_svc.store.redis.factory import open_link
from tests.cluster_rig import sentinels


async def _why(url: str) -> str:
    """What is said of it."""
    link = open_link(load(redis_url=url))
    try:
        assert link.pubsub_addresses() == []
        with pytest.raises(Unavailable) as told:
            await link.start()
        assert link.pubsub_addresses() == []
        return told.value.detail
    finally:
        await link.close()


async def test_sentinels_that_do_not_answer(free_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """To whoever asks, with the first of them; once in the log, however long it lasts."""
    url = f"redis+sentinel://127.0.0.1:{free_port}/mymaster/0"
    link = open_link(load(redis_url=url))
    with pytest.raises(Unavailable):
        await link.start()
    await asyncio.sleep(1)
    await link.close()

    assert (await _why(url)).startswith(f"no Sentinel answers: 127.0.0.1:{free_port}: ")
    assert [r.message.partition(":")[0] for r in caplog.records if r.levelname == "WARNING"] == [
        "redis is away"
    ]
    assert str(free_port) in caplog.text


@pytest.mark.timeout(60)
async def test_sentinels_that_refuse_or_do_not_know() -> None:
    """A wrong password for Sentinels, and a master of another name, are told apart."""
    with sentinels() as watched:
        refused = await _why(watched.url.replace("secret-of-sentinels", "not-it"))
        unknown = await _why(watched.url.replace("/mymaster/", "/another/"))

    assert "no Sentinel answers" in refused
    assert "invalid username-password pair" in refused
    assert "not-it" not in refused
    assert unknown == "no Sentinel knows a master named another"

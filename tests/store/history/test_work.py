"""S13, R12: how much one call does when minutes are closed, at the worst: counted in commands, not in time.

A busy machine takes the processor away in the middle of a call. So what proves the bound is the work: how
many commands a call runs is the same in every run; and of calls that do the same, the quickest says what
that takes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.store.history import clock
from tests.store.history.clock import MINUTE, START
from tests.store.replica import Replica

LONGEST_US = 10_000
OURS = ("info", "config|resetstat", "ping", "client|setinfo", "hello", "select")


async def work(redis: Any) -> tuple[int, int]:
    """Since it was last asked: how many commands scripts have run, and in how many calls of scripts."""
    found = await redis.info("commandstats")
    await redis.config_resetstat()
    calls = {name.removeprefix("cmdstat_"): one["calls"] for name, one in found.items()}
    scripts = calls.pop("evalsha", 0) + calls.pop("eval", 0)
    return sum(n for name, n in calls.items() if name not in OURS), scripts


async def quickest_us(redis: Any) -> float:
    """How long the quickest half of the scripts' calls took at most."""
    reply = await redis.execute_command("LATENCY", "HISTOGRAM", "evalsha")
    _, (_, calls, _, buckets) = reply
    return next(float(us) for us, n in zip(buckets[::2], buckets[1::2], strict=True) if int(n) * 2 >= calls)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_ten_thousand_courses_close_in_one_second(trio: list[Replica]) -> None:
    """The worst moment of a minute: each course is closed once, by a call that does so much and no more.

    All calls do the same work, to the command; so the quicker half of them shows that none needs 10 ms.
    """
    redis, many = trio[0].redis, 10_000
    for start in range(0, many, 500):
        writes = [trio[0].beat(f"v{n}", course=f"c{n}", chapter="ch-1") for n in range(start, start + 500)]
        await asyncio.gather(*writes)
    await clock.set_clock(redis, START + MINUTE + 1)
    await work(redis)
    closed, looks, each = 0, set(), set()
    while (due := await trio[closed % 3].agenda.due()).courses:
        looks.add((await work(redis))[0])
        swept = await trio[closed % 3].agenda.sweep(due.courses)
        closed += sum(one.closed for one in swept)
        commands, calls = await work(redis)
        assert calls == len(due.courses)
        each.add(commands / calls)

    assert closed == many
    assert len(each) == 1
    assert each.pop() <= 60
    assert max(looks) <= 12
    assert await quickest_us(redis) < LONGEST_US

"""S13, R12: how much one call does when minutes are closed, at the worst: counted, and weighed.

A busy machine takes the processor away in the middle of a call, and is slow. So what proves the bound is the
work: how many commands a call runs, the same in every run; and the processor time of the quickest of calls
that do the same, beside that of a script that only counts, in the same run.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Self

import pytest

from tests.benchmarks.process import cpu_s
from tests.store.history import clock
from tests.store.history.clock import MINUTE, QUARTER, START
from tests.store.history.raw import read
from tests.store.replica import Replica

# A thousand ZCOUNTs in a script take half a ms of a processor that has nothing else to do.
LONGEST = 20.0
A_THOUSAND = "for i = 1, 1000 do redis.call('ZCOUNT', KEYS[1], '(' .. i, '+inf') end"
OURS = ("info", "config|resetstat")


class Work(NamedTuple):
    """How many commands scripts have run, in how many calls, and ms of processor time a call."""

    commands: int
    calls: int
    ms: float


class Scale:
    """Weighs what a server does."""

    def __init__(self, replica: Replica, pid: int) -> None:
        self._redis = replica.redis
        self._pid = pid
        self._before = 0.0

    @classmethod
    async def of(cls, replica: Replica) -> Self:
        """With scripts that are known: else each would be called twice at first."""
        await replica.agenda.due()
        await replica.agenda.sweep(["another"])
        return cls(replica, (await replica.redis.info("server"))["process_id"])

    async def begin(self) -> None:
        await self._redis.config_resetstat()
        self._before = cpu_s(self._pid)

    async def end(self) -> Work:
        """What was done since it began."""
        took_ms = (cpu_s(self._pid) - self._before) * 1000
        found = await self._redis.info("commandstats")
        done = {name.removeprefix("cmdstat_"): one["calls"] for name, one in found.items()}
        calls = done.pop("evalsha", 0) + done.pop("eval", 0)
        return Work(sum(n for name, n in done.items() if name not in OURS), calls, took_ms / max(calls, 1))

    async def thousand(self) -> float:
        """The ms that a thousand plain commands take now, on this machine."""
        await self.begin()
        await self._redis.eval(A_THOUSAND, 1, "presence:{another}:viewers")
        return (await self.end()).ms


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_ten_thousand_courses_close_in_one_second(trio: list[Replica]) -> None:
    """The worst moment of a minute: each course is closed once, by a call that does so much and no more.

    All calls do the same work, to the command; so the quickest hundred of them show that none needs 10 ms.
    """
    redis, many = trio[0].redis, 10_000
    scale = await Scale.of(trio[0])
    for start in range(0, many, 500):
        writes = [trio[0].beat(f"v{n}", course=f"c{n}", chapter="ch-1") for n in range(start, start + 500)]
        await asyncio.gather(*writes)
    await clock.set_clock(redis, START + MINUTE + 1)
    for replica in trio:
        await replica.agenda.due()
    closed, closings, plain = 0, [], [await scale.thousand()]
    for start in range(0, many, 100):
        await scale.begin()
        swept = await trio[start // 100 % 3].agenda.sweep([f"c{n}" for n in range(start, start + 100)])
        closings.append(await scale.end())
        plain.append(await scale.thousand())
        assert closings[-1].calls == len(swept)
        closed += sum(one.closed for one in swept)
    await clock.set_clock(redis, START + 2 * QUARTER)
    looks = []
    for n in range(20):
        await scale.begin()
        due = await trio[n % 3].agenda.due()
        looks.append(await scale.end())
        assert len(due.courses) == 100

    assert closed == many
    assert len({one.commands / one.calls for one in closings}) == 1
    assert closings[0].commands / closings[0].calls < 45
    assert min(one.ms for one in closings) / min(plain) < 1
    assert max(one.commands for one in looks) < 15
    assert min(one.ms for one in looks) / min(plain) < 1


async def test_closings_are_spread(trio: list[Replica]) -> None:
    """S13: a steady course is not swept at the end of a minute: that is done when a lease has ended.

    It is due after its quarter, at the latest, and one that is empty after its minute: many courses one after
    the other, a single one at once.
    """
    replica, many = trio[0], 600
    await replica.beat("v", course="alone")
    await clock.set_clock(replica.redis, START + MINUTE // 2)
    (alone,) = await replica.agenda.sweep(["alone"])
    courses = [f"c{n}" for n in range(many)]
    for start in range(0, many, 100):
        await asyncio.gather(*(replica.beat("v", course=course) for course in courses[start : start + 100]))
    await clock.set_clock(replica.redis, START + MINUTE + 1)
    occupied = [one.next_due - QUARTER - 1 for one in await replica.agenda.sweep(courses)]
    for start in range(0, many, 100):
        await asyncio.gather(*(replica.leave("v", course=course) for course in courses[start : start + 100]))
    await clock.set_clock(replica.redis, START + MINUTE + 500)
    empty = [one.next_due - 2 * MINUTE - 1 for one in await replica.agenda.sweep(courses)]

    assert alone.next_due == START + QUARTER + 1
    for delays, longest in ((occupied, 2 * MINUTE), (empty, MINUTE // 4)):
        delays = sorted(delay - START for delay in delays)
        assert 0 <= delays[0] < delays[-1] < longest
        assert longest / 4 < delays[many // 2] < 3 * longest / 4
        assert max(delays.count(delay) for delay in set(delays)) < 16


@pytest.mark.timeout(120)
async def test_a_minute_of_five_hundred_chapters(trio: list[Replica]) -> None:
    """As many chapters as a course may have: a minute is written by several calls, none of which does much.

    A minute that is closed late is not closed together with many others.
    """
    redis, many = trio[0].redis, trio[0].settings.chapters_per_course
    scale = await Scale.of(trio[0])
    for start in range(0, many, 100):
        beats = [trio[0].beat(f"v{n}", chapter=f"ch-{n}") for n in range(start, start + 100)]
        await asyncio.gather(*beats)
    done: list[tuple[int, Work]] = []
    plain = []
    for minute in (1, 2, 3, 4, 5, 12):
        await clock.set_clock(redis, START + minute * MINUTE + 1)
        await trio[0].agenda.due()
        plain += [await scale.thousand() for _ in range(3)]
        while True:
            await scale.begin()
            (swept,) = await trio[0].agenda.sweep(["c1"])
            done.append((swept.closed, await scale.end()))
            if swept.next_due > START + minute * MINUTE + 1:
                break
    kept = await read(redis)

    assert len(kept.minutes) == 12 * (many + 1)
    assert [closed for closed, _ in done] == [0, 0, 1] * 12
    assert all(one.calls == 1 for _, one in done)
    assert max(one.commands for _, one in done) < many + 100  # the first call publishes, too
    assert min(one.ms for _, one in done) / min(plain) < LONGEST


@pytest.mark.timeout(120)
@pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "not counted"])
async def test_thousands_of_leases_end_at_once(trio: list[Replica], is_counted: bool) -> None:
    """A sweep removes a thousand viewers a call, and books their ends in few commands, not a few each.

    Also while a day's distinct viewers are still being counted: then it marks who has gone.
    """
    redis = trio[0].redis
    scale = await Scale.of(trio[0])
    for start in range(0, 3_000, 250):
        await asyncio.gather(*(trio[0].beat(f"v{n}") for n in range(start, start + 250)))
    await clock.set_clock(redis, START + MINUTE + 1)
    for _ in range(20 if is_counted else 4):
        await trio[0].agenda.sweep(["c1"])
    await clock.set_clock(redis, START + 60 * MINUTE + 1)
    await trio[0].agenda.due()
    plain = [await scale.thousand() for _ in range(5)]
    done = []
    for _ in range(3):
        await scale.begin()
        (swept,) = await trio[0].agenda.sweep(["c1"])
        done.append((swept.removed, await scale.end()))

    assert [gone for gone, _ in done] == [1_000] * 3
    assert max(one.commands for _, one in done) < (700 if is_counted else 2_700)
    assert min(one.ms for _, one in done) / min(plain) < LONGEST

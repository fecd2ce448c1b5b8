"""count.lua, viewers.lua and since.lua by themselves."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.store import scripts
from presence_svc.store.counts import count_call
from tests.store.replica import Replica

C = "presence:{c1}:"


async def test_count_replies_flat_and_sorted(replica: Replica) -> None:
    """S4: now, then for each course total, anonymous, version and its chapters in order of their names."""
    for viewer, chapter in (("a", "zeta"), ("b", "alpha"), ("c", "alpha")):
        done = await replica.beat(viewer, chapter=chapter)
    (reply,) = await replica.link.pipeline([count_call(replica.keys, ["c1", "none"])])
    version = int(await replica.redis.hget(f"{C}state", "version"))

    assert reply[0] >= done.as_of
    assert reply[1:] == [3, 0, version, 2, b"alpha", 2, b"zeta", 1, 0, 0, 0, 0]


async def test_reads_write_nothing(replica: Replica) -> None:
    """S4: counting, listing and totals change no key, not even of what has lapsed."""
    await replica.beat("ada", chapter="ch-1")
    await replica.beat("bob", chapter="ch-2", anonymous=True)
    await replica.pass_time(61_000)
    before = {name: await replica.redis.dump(name) for name in await replica.names()}
    await replica.count()
    await replica.page()
    await replica.page(chapter_id="ch-1")
    await replica.totals.stats()

    assert {name: await replica.redis.dump(name) for name in await replica.names()} == before


async def test_count_of_two_hundred_courses(replica: Replica) -> None:
    """S4: the largest question of the API, in one exchange, in the order asked."""
    await asyncio.gather(*(replica.beat(f"v{n}", course=f"c{n % 50}") for n in range(100)))
    courses = [f"c{n}" for n in range(200)]
    counts = await replica.presence.counts(courses)

    assert [count.course_id for count in counts] == courses
    assert [count.total for count in counts] == [2] * 50 + [0] * 150
    assert len({count.as_of for count in counts}) == 1


async def _stretch(replica: Replica, *args: object) -> list[str]:
    reply = await replica.link.call(scripts.VIEWERS, replica.keys.course("c1"), args)
    return [viewer.decode() for viewer in reply[7 + 2 * reply[6] :: 2]]


async def test_viewers_go_by_lease_then_id(replica: Replica) -> None:
    """S4: the longest lease first, equal ones by id downwards; a stretch goes on after any member."""
    await asyncio.gather(*(replica.beat(f"v{n}") for n in range(5)))
    await replica.pass_time(1_000)
    last = await replica.beat("fresh")
    order = ["fresh", "v4", "v3", "v2", "v1", "v0"]
    score = int(await replica.redis.zscore(f"{C}viewers", "v3"))

    assert await _stretch(replica, "", 10, "", "", "") == order
    assert await _stretch(replica, "", 2, "", last.expires_at, "fresh") == ["v4", "v3"]
    assert await _stretch(replica, "", 10, "", score, "v3") == ["v2", "v1", "v0"]
    assert await _stretch(replica, "", 10, "", score, "v25") == ["v2", "v1", "v0"]
    assert await _stretch(replica, "", 10, 59_500, "", "") == order[1:]


async def test_viewers_of_a_chapter_are_those_in_it(replica: Replica) -> None:
    """S2: neighbours in the scores, of the chapters before and after, are not among them."""
    for n in range(9):
        await replica.beat(f"v{n}", chapter=f"ch-{n % 3}")

    assert sorted(await _stretch(replica, "ch-1", 10, "", "", "")) == ["v1", "v4", "v7"]
    assert await _stretch(replica, "ch-9", 10, "", "", "") == []


async def test_since_lasts_while_pulses_come(replica: Replica, other: Replica) -> None:
    """S11: the first pulse sets the mark, whoever sends the others keeps it."""
    first = await replica.shared.refresh()
    await asyncio.sleep(0.01)
    second = await other.shared.refresh()

    assert first.since == first.now
    assert (second.since, second.now > first.now) == (first.since, True)
    assert 0 < await replica.redis.pttl("presence:since") <= 30_000


async def test_warming_ends_a_ttl_after_the_first_pulse(replica: Replica) -> None:
    """S11: until then a low number may only be the beginning."""
    before = (await replica.count()).warming
    await replica.shared.refresh()
    early = (await replica.count()).warming, (await replica.shared.refresh()).warming
    for _ in range(3):
        await replica.pass_time(20_001)
        late = (await replica.shared.refresh()).warming, (await replica.count()).warming

    assert before
    assert early == (True, True)
    assert late == (False, False)


@pytest.mark.parametrize(("gap", "warming"), [(29_000, False), (30_001, True)])
async def test_a_gap_in_hearing_warms_again(replica: Replica, gap: int, warming: bool) -> None:
    """S11: a silence longer than TTL - HEARTBEAT_INTERVAL may have cost somebody a lease."""
    await replica.shared.refresh()
    for _ in range(3):
        await replica.pass_time(21_000)
        await replica.shared.refresh()
    await replica.pass_time(gap)
    await replica.shared.refresh()

    assert (await replica.count()).warming is warming


async def test_replicas_agree_on_one_secret(replica: Replica, other: Replica) -> None:
    """Leave tokens of one replica hold at another, and the key of them is mortal."""
    await replica.shared.refresh()
    await other.shared.refresh()

    assert replica.shared.secret == other.shared.secret
    assert 86_000_000 < await replica.redis.pttl("presence:secret") <= 86_400_000

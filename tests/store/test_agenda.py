"""The agenda when Redis's own clock is set: bounds on ghosts, and nobody who is there is dropped."""

from __future__ import annotations

import pytest

from presence_svc.store import agenda
from tests.store.audit import audit
from tests.store.replica import Ear, Replica

LEASE, LONGEST = 60_000, 150_000
W = 2**42  # a place's stretch of scores, see store/keys.py
C = "presence:{c1}:"


@pytest.mark.parametrize("members", [1_000, 1], ids=["at once", "one by one"])
@pytest.mark.parametrize("step_ms", [200_000, 3_600_000])
async def test_a_clock_set_back_leaves_no_ghost_beyond_the_longest_lease(
    replica: Replica, ear: Ear, step_ms: int, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3, S9: a VM is restored, a failover leads to a host behind: who is gone goes in a longest lease."""
    monkeypatch.setattr(agenda, "MEMBERS", members)
    for viewer in ("gone", "hidden", "stays"):
        await replica.beat(viewer, chapter="ch-1", hidden=viewer == "hidden")
    await replica.beat("nameless", anonymous=True)
    await replica.pass_time(-step_ms)

    await replica.settle()
    await replica.beat("stays", chapter="ch-1")
    ends = [score for _, score in await replica.redis.zrange(f"{C}viewers", 0, -1, withscores=True)]
    now = await replica.now()
    assert await replica.total() == 4  # nobody is dropped by the step
    assert max(ends) <= now + LONGEST
    places = [score for _, score in await replica.redis.zrange(f"{C}places", 0, -1, withscores=True)]
    assert max(places) % W <= now + LONGEST

    for _ in range(5):
        await replica.pass_time(LONGEST / 5 + 1)
        await replica.beat("stays", chapter="ch-1")
        await replica.settle()
    count = await replica.count()
    assert (count.total, count.anonymous, count.chapters) == (1, 0, {"ch-1": 1})
    assert (await ear.hear())[-1]["total"] == 1


async def test_a_clock_set_back_is_not_trusted_at_once(replica: Replica) -> None:
    """S11: the mark of before the step is ahead of the clock: reads say `warming` for a TTL."""
    for _ in range(4):
        await replica.shared.refresh()
        await replica.pass_time(20_001)
    assert not (await replica.shared.refresh()).warming
    await replica.pass_time(-600_000)

    assert (await replica.count()).warming
    pulse = await replica.shared.refresh()
    assert (pulse.warming, pulse.since) == (True, pulse.now)
    for _ in range(4):
        await replica.pass_time(20_001)
        pulse = await replica.shared.refresh()
    assert not pulse.warming


async def test_a_clock_set_forward_says_so(replica: Replica) -> None:
    """Leases end by it, as nobody could have renewed them: the low number says `warming`, and heals."""
    for _ in range(4):
        await replica.shared.refresh()
        await replica.beat("ada")
        await replica.pass_time(20_001)
    await replica.pass_time(LEASE)

    low = await replica.count()
    await replica.shared.refresh()
    await replica.beat("ada")
    await replica.settle()

    assert (low.total, low.warming) == (0, True)
    assert await replica.total() == 1
    assert await audit(replica.redis) == []


async def test_a_step_within_the_spare_time_drops_nobody(replica: Replica) -> None:
    """Up to TTL less HEARTBEAT_INTERVAL: whoever beats as asked has that much of the lease left."""
    await replica.beat("ada")
    await replica.pass_time(29_999)
    assert await replica.total() == 1
    await replica.beat("ada")
    await replica.pass_time(-29_999)
    assert await replica.total() == 1


async def test_versions_grow_over_steps_storms_and_restarts(replica: Replica, ear: Ear) -> None:
    """S8: a storm of changes takes no numbers ahead of the clock: after an empty restart they go on."""
    for n in range(300):
        await replica.beat(f"v{n}")
        await replica.leave(f"v{n}")
    await replica.settle()
    heard = [message["version"] for message in await ear.hear()]
    assert heard == sorted(set(heard))
    assert heard[-1] <= await replica.now() + replica.passed + 2

    await replica.redis.flushall()
    await replica.pass_time(0)
    await replica.beat("ada")
    after = (await ear.hear())[-1]["version"]
    assert after > heard[-1] - replica.passed


async def test_thousands_that_are_due_do_not_delay_the_latest(replica: Replica) -> None:
    """S9: every course's minute has ended, then a lease ends: it is next, and nothing is left out."""
    now = await replica.now()
    crowd = {f"course-{n:03}": now - 1_000 for n in range(3 * agenda.COURSES)}
    await replica.redis.zadd("presence:agenda:0", crowd)
    claimed = list((await replica.agenda.due()).courses)
    await replica.redis.zadd("presence:agenda:0", {"just-ended": now - 1})

    second = (await replica.agenda.due()).courses
    assert "just-ended" in second
    claimed += second
    while courses := (await replica.agenda.due()).courses:
        claimed += courses

    assert sorted(claimed) == sorted({*crowd, "just-ended"})  # each once
    assert claimed[0] == "course-000"

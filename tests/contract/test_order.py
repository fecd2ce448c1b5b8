"""Rules S5 and S6: leaving, and why no late packet revives anybody."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.store.replica import Replica, leave_of, write_of

GRACE, TTL = 3_000, 60_000


async def test_a_leave_ends_its_session_at_once(replica: Replica) -> None:
    """S5: the viewer stays while another session lives, and goes with the last one."""
    await replica.beat("ada", "tab-1", chapter="ch-1")
    await replica.beat("ada", "tab-2", chapter="ch-2")

    await replica.leave("ada", "tab-1")
    between = await replica.count()
    await replica.leave("ada", "tab-2")

    assert (between.total, between.chapters) == (1, {"ch-2": 1})
    assert (await replica.count()).total == 0
    assert await replica.listed() == []


async def test_a_leave_of_nobody_is_no_error(replica: Replica) -> None:
    """S5: leaving without having been there changes no count."""
    await replica.beat("ada")
    await replica.leave("ada", "never-seen")
    await replica.leave("bob")

    assert await replica.total() == 1


async def test_a_soft_leave_cuts_the_lease_to_the_grace(replica: Replica) -> None:
    """S5: after a page hide the viewer is there for LEAVE_GRACE, and not longer."""
    await replica.beat("ada", chapter="ch-1")
    await replica.leave("ada", soft=True)
    await replica.pass_time(GRACE - 500)
    within = await replica.count()
    await replica.pass_time(501)

    assert (within.total, within.chapters) == (1, {"ch-1": 1})
    assert (await replica.count()).total == 0


async def test_a_soft_leave_never_lengthens_a_lease(replica: Replica) -> None:
    """S5: a session with a second left does not win two by leaving softly."""
    await replica.beat("ada")
    await replica.pass_time(TTL - 1_000)
    await replica.leave("ada", soft=True)
    await replica.pass_time(1_001)

    assert await replica.total() == 0


async def test_a_reload_is_no_flicker(replica: Replica) -> None:
    """S5: soft leave, then a heartbeat of the reloaded page: counted throughout, with a full lease."""
    await replica.beat("ada", seq=1)
    await replica.leave("ada", soft=True, seq=2)
    await replica.pass_time(2_000)
    before = await replica.total()
    back = await replica.beat("ada", seq=3)
    await replica.pass_time(TTL - 1_000)

    assert before == 1
    assert back.expires_at == back.as_of + TTL
    assert await replica.total() == 1


@pytest.mark.parametrize("soft", [False, True])
async def test_no_late_heartbeat_revives_who_left(replica: Replica, soft: bool) -> None:
    """S6: a heartbeat sent before the leave and arriving after it changes nothing, also after the grace."""
    await replica.beat("ada", seq=1)
    await replica.leave("ada", soft=soft, seq=3)
    late = await replica.beat("ada", seq=2)
    await replica.pass_time(GRACE)
    later = await replica.beat("ada", seq=2)

    assert late.expires_at <= late.as_of + GRACE
    assert later.expires_at <= later.as_of
    assert (later.total, await replica.total()) == (0, 0)


@pytest.mark.parametrize("soft", [False, True])
async def test_a_leave_may_overtake_its_heartbeat(replica: Replica, soft: bool) -> None:
    """S6: a leave that arrives before the session's only heartbeat still wins."""
    await replica.leave("ada", soft=soft, seq=2)
    late = await replica.beat("ada", seq=1)

    assert late.expires_at <= late.as_of
    assert (await replica.total(), await replica.listed()) == (0, [])


@pytest.mark.parametrize("seq", [None, 0, 7, 2**53 - 1])
async def test_a_hard_leave_is_final_whatever_the_seq(replica: Replica, seq: int | None) -> None:
    """S6: a session that left for good is not revived by any number, nor by none."""
    await replica.beat("ada", seq=1)
    await replica.leave("ada", seq=2)
    answer = await replica.beat("ada", seq=seq)

    assert answer.expires_at <= answer.as_of
    assert await replica.total() == 0


async def test_a_new_session_of_who_left_is_welcome(replica: Replica) -> None:
    """S6: the tombstone is the session's, not the viewer's."""
    await replica.beat("ada", "visit-1")
    await replica.leave("ada", "visit-1")
    await replica.beat("ada", "visit-2")

    assert await replica.total() == 1


async def test_a_tombstone_lasts_one_ttl(replica: Replica) -> None:
    """S6: by then no packet is under way any more, and the mark makes room."""
    await replica.beat("ada")
    await replica.leave("ada")
    await replica.pass_time(TTL - 1_000)
    refused = await replica.beat("ada")
    await replica.pass_time(1_001)
    back = await replica.beat("ada")

    assert refused.total == 0
    assert back.total == 1


async def test_an_older_seq_changes_nothing(replica: Replica) -> None:
    """S6: neither the chapter nor the name nor the lease follow a heartbeat from before the last one."""
    await replica.beat("ada", seq=5, chapter="ch-2", name="Ada")
    await replica.pass_time(20_000)
    late = await replica.beat("ada", seq=4, chapter="ch-1", name="Eve", hidden=True)

    (viewer,) = (await replica.page()).viewers

    assert late.expires_at <= late.as_of + TTL - 20_000
    assert (await replica.count()).chapters == {"ch-2": 1}
    assert (viewer.name, viewer.chapters, viewer.expires_at) == ("Ada", ["ch-2"], late.expires_at)


async def test_an_equal_seq_renews(replica: Replica) -> None:
    """S6: who repeats the last statement is still there."""
    await replica.beat("ada", seq=5)
    await replica.pass_time(20_000)
    again = await replica.beat("ada", seq=5)

    assert again.expires_at == again.as_of + TTL


async def test_a_heartbeat_without_seq_keeps_the_last_one(replica: Replica) -> None:
    """S6: a seq once said still guards against older ones after a statement without."""
    await replica.beat("ada", seq=5, chapter="ch-1")
    await replica.beat("ada", chapter="ch-2")
    await replica.beat("ada", seq=4, chapter="ch-1")

    assert (await replica.count()).chapters == {"ch-2": 1}


async def test_an_old_soft_leave_is_ignored(replica: Replica) -> None:
    """S6: a page hide that arrives after the reloaded page's heartbeat does not cut its lease."""
    await replica.beat("ada", seq=1)
    back = await replica.beat("ada", seq=3)
    await replica.leave("ada", soft=True, seq=2)
    await replica.pass_time(GRACE + 1_000)

    assert back.total == 1
    assert await replica.total() == 1


async def test_a_soft_leave_without_seq_is_newer_than_all_said(replica: Replica) -> None:
    """S6: it cuts the lease, and a repeated packet of the last heartbeat does not mend it."""
    await replica.beat("ada", seq=5)
    await replica.leave("ada", soft=True)
    await replica.beat("ada", seq=5)
    await replica.pass_time(GRACE + 1)

    assert await replica.total() == 0
    assert (await replica.beat("ada", seq=5)).total == 0
    assert (await replica.beat("ada", seq=6)).total == 1


async def test_a_repeated_soft_leave_does_not_outrun_the_page(replica: Replica) -> None:
    """S6: a beacon that is delivered twice refuses no heartbeat that was said after it."""
    await replica.beat("ada", seq=5)
    await replica.leave("ada", soft=True)
    await replica.leave("ada", soft=True)
    back = await replica.beat("ada", seq=6)

    assert back.expires_at == back.as_of + TTL


async def test_a_session_that_lapsed_may_come_back(replica: Replica) -> None:
    """S6: nobody said goodbye: a laptop that slept beats again and counts again."""
    await replica.beat("ada", seq=5, chapter="ch-1")
    await replica.pass_time(TTL + 1)
    gone = await replica.total()
    await replica.beat("ada", seq=6, chapter="ch-1")

    count = await replica.count()

    assert gone == 0
    assert (count.total, count.chapters) == (1, {"ch-1": 1})


@pytest.mark.parametrize("beside", [False, True])
async def test_a_lapsed_session_starts_anew(replica: Replica, beside: bool) -> None:
    """S6: a player restarted after a lapse counts from 0 again, whether or not another tab lives."""
    if beside:
        await replica.beat("ada", "hidden", hidden=True)
    await replica.beat("ada", seq=500, chapter="ch-1")
    await replica.pass_time(TTL + 1)
    await replica.leave("ada", soft=True)
    back = await replica.beat("ada", seq=0, chapter="ch-1")

    assert back.expires_at == back.as_of + TTL
    assert (await replica.count()).chapters == {"ch-1": 1}


async def test_every_order_and_any_duplicates_end_alike(replica: Replica) -> None:
    """S6: all 24 orders of four packets, each delivered twice, end in the state of the newest."""
    ends = set()
    for number, order in enumerate(itertools.permutations(range(4))):
        course = f"order-{number}"
        packets: list[Callable[[str], Awaitable[object]]] = [
            lambda c: replica.beat("ada", course=c, seq=1, chapter="ch-1", name="A"),
            lambda c: replica.beat("ada", course=c, seq=2, chapter="ch-2", name="B"),
            lambda c: replica.beat("ada", course=c, seq=3, chapter="ch-3", anonymous=True),
            lambda c: replica.beat("ada", course=c, seq=4, chapter="ch-4", name="D"),
        ]
        for packet in (*order, *reversed(order)):
            await packets[packet](course)
        count = await replica.count(course)
        (viewer,) = (await replica.page(course)).viewers
        ends.add((count.total, count.named, tuple(count.chapters), viewer.name, tuple(viewer.chapters)))

    assert ends == {(1, 1, ("ch-4",), "D", ("ch-4",))}


async def test_every_order_of_beats_and_a_leave_ends_empty(replica: Replica) -> None:
    """S6: wherever the leave arrives among the heartbeats of its session, the session is gone."""
    for number, order in enumerate(itertools.permutations((1, 2, None, 3))):
        course = f"order-{number}"
        for seq in order:
            if seq == 3:
                await replica.leave("ada", course=course, seq=seq)
            else:
                await replica.beat("ada", course=course, seq=seq)
        assert await replica.total(course) == 0, order


async def test_leave_and_heartbeat_fired_together(replica: Replica, other: Replica) -> None:
    """S6: a leave that races its session's heartbeats through two replicas always ends in absence."""
    await asyncio.gather(*(replica.beat(f"v{n}", seq=1) for n in range(50)))
    await asyncio.gather(
        *(replica.leave(f"v{n}", seq=3) for n in range(50)),
        *(other.beat(f"v{n}", seq=2) for n in range(50)),
    )

    assert await replica.total() == 0


async def test_one_batch_keeps_its_order(replica: Replica) -> None:
    """S6: heartbeats and leaves of one viewer that share an exchange act in order of arrival."""
    ops: list[asyncio.Future[Any]] = [
        replica.presence.heartbeat(write_of("ada", "one", chapter="ch-1")),
        asyncio.ensure_future(replica.presence.leave(leave_of("ada", "one"))),
    ]
    await asyncio.sleep(0)
    ops.append(replica.presence.heartbeat(write_of("ada", "two", chapter="ch-2")))
    await asyncio.gather(*ops)

    assert (await replica.count()).chapters == {"ch-2": 1}


async def test_evict_removes_every_session_for_good(replica: Replica) -> None:
    """S5: an evicted viewer is gone with all sessions, and none of those comes back."""
    await replica.beat("ada", "tab-1", chapter="ch-1", anonymous=True)
    await replica.beat("ada", "tab-2", chapter="ch-2")
    await replica.beat("bob", chapter="ch-2")

    await replica.presence.evict("c1", "ada")
    count = await replica.count()
    for session in ("tab-1", "tab-2"):
        await replica.beat("ada", session, seq=99)

    assert (count.total, count.anonymous, count.chapters) == (1, 0, {"ch-2": 1})
    assert await replica.total() == 1


async def test_evict_of_nobody_is_no_error(replica: Replica) -> None:
    """S5: evicting who is not there changes nothing."""
    await replica.beat("bob")
    await replica.presence.evict("c1", "nobody")

    assert await replica.total() == 1


async def test_an_unknown_script_does_not_turn_the_order_round(replica: Replica) -> None:
    """S6, R6: a leave whose script Redis has forgotten is sent again, and the heartbeat behind it with it."""
    await replica.redis.script_flush()
    await replica.beat("ada")

    _, back = await asyncio.gather(replica.leave("ada", soft=True), replica.beat("ada"))  # one exchange

    viewers = await replica.redis.zrange(replica.keys.course("c1").viewers, 0, -1, withscores=True)
    assert viewers == [(b"ada", back.expires_at)]
    assert back.expires_at - back.as_of == replica.settings.ttl_ms

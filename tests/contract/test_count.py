"""Rules S1 to S4 and S7: who counts, where, for how long, and as whom."""

from __future__ import annotations

import asyncio

from tests.store.replica import Replica

TTL, HIDDEN_TTL = 60_000, 150_000


async def test_sessions_of_one_viewer_count_once(replica: Replica) -> None:
    """S1: three tabs of one viewer and one of another are two viewers."""
    for session in ("tab-1", "tab-2", "phone"):
        await replica.beat("ada", session)
    last = await replica.beat("bob")

    assert last.total == 2
    assert (await replica.count()).total == 2


async def test_tabs_in_two_chapters_count_in_each(replica: Replica) -> None:
    """S2: two tabs in two chapters are 1 in total and 1 in each; two in one chapter are 1 there."""
    await replica.beat("ada", "tab-1", chapter="ch-1")
    await replica.beat("ada", "tab-2", chapter="ch-2")
    await replica.beat("ada", "tab-3", chapter="ch-2")
    await replica.beat("bob", chapter="ch-2")

    count = await replica.count()

    assert count.total == 2
    assert count.chapters == {"ch-1": 1, "ch-2": 2}


async def test_a_heartbeat_without_chapter_is_in_none(replica: Replica) -> None:
    """S2: a statement is whole: who no longer names a chapter is in none, and still in the course."""
    await replica.beat("ada", chapter="ch-1")
    await replica.beat("ada")

    count = await replica.count()

    assert (count.total, count.chapters) == (1, {})


async def test_a_session_moves_between_chapters(replica: Replica) -> None:
    """S2: who moves on leaves the former chapter at once, unless another tab is still there."""
    await replica.beat("ada", "tab-1", chapter="ch-1")
    await replica.beat("ada", "tab-2", chapter="ch-1")

    await replica.beat("ada", "tab-1", chapter="ch-2")
    both = (await replica.count()).chapters
    await replica.beat("ada", "tab-2", chapter="ch-2")

    assert both == {"ch-1": 1, "ch-2": 1}
    assert (await replica.count()).chapters == {"ch-2": 1}


async def test_a_lease_is_a_ttl_from_redis_time(replica: Replica) -> None:
    """S3: the lease ends a TTL after the moment Redis handled the heartbeat, by Redis's clock."""
    before = await replica.now()
    recorded = await replica.beat("ada")
    after = await replica.now()

    assert before <= recorded.as_of <= after
    assert recorded.expires_at == recorded.as_of + TTL


async def test_a_hidden_session_lives_longer(replica: Replica) -> None:
    """S3: who says `hidden` stays for HIDDEN_TTL; back in sight the lease is a TTL again."""
    hidden = await replica.beat("ada", hidden=True)
    await replica.pass_time(TTL + 1_000)
    still_there = await replica.total()
    shown = await replica.beat("ada", hidden=False)
    await replica.pass_time(TTL + 1)

    assert hidden.expires_at == hidden.as_of + HIDDEN_TTL
    assert still_there == 1
    assert shown.expires_at == shown.as_of + TTL
    assert await replica.total() == 0


async def test_one_lost_heartbeat_drops_nobody(replica: Replica) -> None:
    """S3: who beats every 27 s and loses one heartbeat is still counted."""
    await replica.beat("ada")
    await replica.pass_time(2 * 27_000)

    assert await replica.total() == 1
    assert (await replica.beat("ada")).total == 1


async def test_what_has_expired_is_not_read(replica: Replica) -> None:
    """S4: without any sweep neither count, chapters, roster nor stats show whose lease is over."""
    await replica.beat("ada", chapter="ch-1")
    await replica.beat("bob", anonymous=True)
    await replica.pass_time(30_000)
    await replica.beat("cleo", chapter="ch-2")
    await replica.pass_time(30_001)

    count = await replica.count()

    assert (count.total, count.named, count.anonymous) == (1, 1, 0)
    assert count.chapters == {"ch-2": 1}
    assert await replica.listed() == ["cleo"]
    assert (await replica.totals.stats()).total == 1


async def test_reads_of_a_moment_agree(replica: Replica) -> None:
    """S4: many reads that share an exchange each see all that was recorded before they were made."""
    await asyncio.gather(*(replica.beat(f"v{n}", chapter=f"ch-{n % 3}") for n in range(30)))

    counts = await asyncio.gather(*(replica.count() for _ in range(20)))

    assert {count.total for count in counts} == {30}
    assert all(count.chapters == {"ch-0": 10, "ch-1": 10, "ch-2": 10} for count in counts)


async def test_an_unknown_course_reads_zeros(replica: Replica) -> None:
    """S4: a course that nobody ever watched is nobody, not an error; reading leaves no key behind."""
    count = await replica.count("nowhere")

    assert (count.total, count.named, count.anonymous, count.chapters) == (0, 0, 0, {})
    assert await replica.listed("nowhere") == []
    assert await replica.names() == set()


async def test_an_anonymous_viewer_counts_without_a_name(replica: Replica) -> None:
    """S7: total = named + anonymous, and no roster shows the anonymous, whatever name they sent."""
    await replica.beat("ada", name="Ada", chapter="ch-1")
    await replica.beat("ghost", name="Casper", anonymous=True, chapter="ch-1")

    count = await replica.count()
    roster = await replica.page()

    assert (count.total, count.named, count.anonymous) == (2, 1, 1)
    assert count.chapters == {"ch-1": 2}
    assert [viewer.name for viewer in roster.viewers] == ["Ada"]
    assert (roster.total, roster.named, roster.anonymous) == (2, 1, 1)
    assert await replica.listed(chapter_id="ch-1") == ["ada"]


async def test_an_anonymous_statement_removes_the_name(replica: Replica) -> None:
    """S7: a viewer who turns anonymous leaves the roster, and the name is gone when they come out again."""
    await replica.beat("ada", name="Ada", avatar_url="https://a.example/x.png")
    await replica.beat("ada", anonymous=True)
    hidden = await replica.listed()
    await replica.beat("ada")

    (viewer,) = (await replica.page()).viewers

    assert hidden == []
    assert (viewer.name, viewer.avatar_url) == (None, None)


async def test_one_anonymous_session_makes_the_viewer_anonymous(replica: Replica) -> None:
    """S7: while any session asks for anonymity the viewer is not named; afterwards they are again."""
    await replica.beat("ada", "tab-1", name="Ada")
    await replica.beat("ada", "tab-2", anonymous=True)
    while_anonymous = await replica.count()
    unlisted = await replica.listed()
    await replica.leave("ada", "tab-2")

    after = await replica.count()

    assert (while_anonymous.total, while_anonymous.anonymous) == (1, 1)
    assert unlisted == []
    assert (after.total, after.named) == (1, 1)
    assert await replica.listed() == ["ada"]


async def test_replicas_see_the_same(replica: Replica, other: Replica) -> None:
    """S10: what one replica records the other counts, lists and can end."""
    await replica.beat("ada", chapter="ch-1")
    seen = await other.count()
    await other.leave("ada")

    assert (seen.total, seen.chapters) == (1, {"ch-1": 1})
    assert await replica.total() == 0


async def test_courses_do_not_mix(replica: Replica) -> None:
    """S1: the same viewer in two courses is one in each, and leaves each for itself."""
    await replica.beat("ada", course="c1")
    await replica.beat("ada", course="c2")
    await replica.leave("ada", course="c1")

    counts = await replica.presence.counts(["c2", "c1", "c2"])

    assert [(count.course_id, count.total) for count in counts] == [("c2", 1), ("c1", 0), ("c2", 1)]


async def test_every_shape_of_id_counts(replica: Replica) -> None:
    """S2: ids with all the characters that are allowed, and the longest ones, count like any other."""
    odd = "A_z.0:9@~|=+-"
    long = "x" * 128
    await replica.beat(odd, odd, course=odd, chapter=odd)
    await replica.beat(long, long, course=odd, chapter=long)

    count = await replica.count(odd)

    assert (count.total, count.chapters) == (2, {odd: 1, long: 1})
    assert sorted(await replica.listed(odd)) == sorted([odd, long])

"""leave.lua and evict.lua by themselves: records, scores, marks and their expiry."""

from __future__ import annotations

import asyncio

from presence_svc.model import Heartbeat
from presence_svc.store.write import NEWEST, HeartbeatWrite
from tests.store.audit import audit
from tests.store.replica import Replica

TTL, GRACE = 60_000, 3_000
C = "presence:{c1}:"


async def test_a_leave_removes_every_trace_but_its_mark(replica: Replica) -> None:
    """S5, S12: no hash, no scores; the mark lives for one TTL."""
    await replica.beat("ada", chapter="ch-1", anonymous=True)
    await replica.leave("ada")
    redis = replica.redis

    assert await redis.exists(f"{C}viewer:ada", f"{C}viewers", f"{C}places", f"{C}anonymous") == 0
    assert await redis.hgetall(f"{C}left:ada") == {b"main": b"!"}
    assert TTL - 5_000 < await redis.pttl(f"{C}left:ada") <= TTL


async def test_a_leave_of_one_session_keeps_the_others(replica: Replica) -> None:
    """S5: scores fall to what the remaining sessions' leases say."""
    stays = await replica.beat("ada", "stays", chapter="ch-1")
    await replica.beat("ada", "goes", chapter="ch-1", hidden=True)
    await replica.leave("ada", "goes")

    assert await replica.redis.zscore(f"{C}viewers", "ada") == stays.expires_at
    assert await replica.redis.zscore(f"{C}places", "1 ada") == 2**42 + stays.expires_at
    assert await replica.redis.pexpiretime(f"{C}viewer:ada") == stays.expires_at
    assert await audit(replica.redis) == []


async def test_a_soft_leave_cuts_every_score(replica: Replica) -> None:
    """S5: record, sets, hash expiry and agenda all say now + LEAVE_GRACE."""
    await replica.beat("ada", chapter="ch-1", anonymous=True, hidden=True)
    before = await replica.now()
    await replica.leave("ada", soft=True)
    after = await replica.now()
    redis = replica.redis

    ends = int((await redis.hget(f"{C}viewer:ada", "s:main")).split(b" ")[0])

    assert before + GRACE <= ends <= after + GRACE
    assert await redis.zscore(f"{C}viewers", "ada") == ends
    assert await redis.zscore(f"{C}anonymous", "ada") == ends
    assert await redis.zscore(f"{C}places", "1 ada") == 2**42 + ends
    assert await redis.pexpiretime(f"{C}viewer:ada") == ends
    assert await redis.zscore("presence:agenda:0", "c1") == ends


async def test_marks_only_grow(replica: Replica) -> None:
    """S6: a mark for good is not replaced by a soft one, a soft one not by an older."""
    await replica.leave("ada", soft=True, seq=5)
    await replica.leave("ada", soft=True, seq=3)
    soft = await replica.redis.hget(f"{C}left:ada", "main")
    await replica.leave("ada")
    await replica.leave("ada", soft=True, seq=9)

    assert soft == b"5"
    assert await replica.redis.hget(f"{C}left:ada", "main") == b"!"


async def test_the_largest_seq_is_kept_exactly(replica: Replica) -> None:
    """S6: 2^53 - 1 is no rounded number: its predecessor is older."""
    await replica.beat("ada", seq=2**53 - 2, chapter="ch-1")
    await replica.leave("ada", soft=True, seq=2**53 - 1)
    await replica.beat("ada", seq=2**53 - 2, chapter="ch-2")

    assert (await replica.count()).chapters == {"ch-1": 1}
    assert await replica.redis.hget(f"{C}left:ada", "main") == b"9007199254740991"


async def test_marks_are_bounded(replica: Replica) -> None:
    """S12: nobody piles up marks by leaving sessions that never were."""
    await asyncio.gather(*(replica.leave("ada", f"s{n}") for n in range(1_000)))

    assert 0 < await replica.redis.hlen(f"{C}left:ada") <= 256
    assert await audit(replica.redis) == []


async def test_a_leave_of_nobody_touches_no_set(replica: Replica) -> None:
    """S5, S12: only the mark is written, and no message is due."""
    await replica.leave("nobody")

    assert await replica.names() == {f"{C}left:nobody"}


async def test_a_batch_of_five_hundred_leaves(replica: Replica) -> None:
    """S5: five hundred in one call, of several courses: every set is empty."""
    everybody = [(f"v{n}", f"c{n % 5}") for n in range(500)]
    await asyncio.gather(*(replica.beat(viewer, course=course, chapter="ch") for viewer, course in everybody))
    await asyncio.gather(*(replica.leave(viewer, course=course) for viewer, course in everybody))

    counts = await replica.presence.counts([f"c{n}" for n in range(5)])

    assert [(count.total, count.chapters) for count in counts] == [(0, {})] * 5
    assert not [name for name in await replica.names() if ":viewer" in name or ":places" in name]


async def test_evict_marks_each_session(replica: Replica) -> None:
    """S5, S6: all sessions go and are marked for good, lapsed ones and other viewers are left alone."""
    for session in ("one", "two", "three"):
        await replica.beat("ada", session, chapter=f"ch-{session}")
    await replica.beat("bob")
    await replica.presence.evict("c1", "ada")
    redis = replica.redis

    assert await redis.hgetall(f"{C}left:ada") == {b"one": b"!", b"two": b"!", b"three": b"!"}
    assert await redis.zrange(f"{C}viewers", 0, -1) == [b"bob"]
    assert await redis.exists(f"{C}viewer:ada", f"{C}places", f"{C}left:bob") == 0
    assert await audit(redis) == []


async def test_evict_of_nobody_writes_nothing(replica: Replica) -> None:
    """S12: evicting who is not there leaves no key."""
    await replica.presence.evict("c1", "nobody")

    assert await replica.names() == set()


async def test_a_banned_viewer_counts_for_nothing_until_it_is_over(replica: Replica) -> None:
    """S5, S6: not in old sessions nor in new ones, with or without a seq, and not as a socket joins."""
    await replica.beat("ada", "one", seq=5)
    await replica.presence.evict("c1", "ada", 90)

    for session, seq in (("one", 6), ("two", 1), ("three", None)):
        done = await replica.beat("ada", session, seq=seq)
        assert done.expires_at <= done.as_of
    newest = HeartbeatWrite("c1", "ada", Heartbeat(session_id="socket"))
    joined = await replica.presence.heartbeat(newest, NEWEST)
    assert joined.expires_at <= joined.as_of
    assert (await replica.presence.count("c1")).total == 0
    assert (await replica.beat("bob")).total == 1
    assert await audit(replica.redis) == []

    await replica.pass_time(91_000)

    assert (await replica.beat("ada", "two", seq=2)).total == 1


async def test_a_ban_outlives_marks_of_any_number(replica: Replica) -> None:
    """Whoever leaves three hundred sessions to push the ban out stays banned; the key dies with it (S12)."""
    await replica.presence.evict("c1", "ada", 3_600)
    for n in range(300):
        await replica.leave("ada", f"s{n}")
    done = await replica.beat("ada", "fresh", seq=1)

    assert done.expires_at <= done.as_of
    assert 3_500_000 < await replica.redis.pttl(f"{C}left:ada") <= 3_600_000


async def test_a_ban_only_grows_unless_the_last_word_is_spoken(replica: Replica) -> None:
    """Who may remove themselves cannot shorten what a service has asked for; a service can, and lift it."""

    async def is_banned() -> bool:
        done = await replica.beat("ada", f"s{await replica.redis.incr('presence:test')}", seq=1)
        return bool(done.expires_at <= done.as_of)

    await replica.presence.evict("c1", "ada", 3_600)
    for shorter in (1, 60, 0):
        await replica.presence.evict("c1", "ada", shorter)
    await replica.pass_time(61_000)
    assert await is_banned()

    await replica.presence.evict("c1", "ada", 90, replaces_ban=True)
    await replica.pass_time(80_000)
    assert await is_banned()
    await replica.pass_time(11_000)
    assert not await is_banned()

    await replica.presence.evict("c1", "ada", 3_600)
    assert await is_banned()
    await replica.presence.evict("c1", "ada", 0, replaces_ban=True)
    assert not await is_banned()


async def test_an_eviction_is_about_sessions_that_live(replica: Replica) -> None:
    """S6: a session whose lease has ended may come back, whether or not its record still exists."""
    await replica.beat("ada", "lapsed")
    await replica.beat("ada", "hidden", hidden=True)
    await replica.pass_time(61_000)

    await replica.presence.evict("c1", "ada")

    back, late = await replica.beat("ada", "lapsed"), await replica.beat("ada", "hidden")
    assert back.expires_at > back.as_of
    assert late.expires_at <= late.as_of

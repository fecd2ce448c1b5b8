"""heartbeat.lua by itself: what it leaves in Redis, key by key."""

from __future__ import annotations

import asyncio

import pytest

from presence_svc.store.scripts import HEARTBEAT
from presence_svc.store.write import NEWEST, pack_seq
from tests.store.audit import audit
from tests.store.replica import Replica, write_of

STRETCH = 2**42
MANY_CALLS = 10
TTL, HIDDEN_TTL = 60_000, 150_000
C = "presence:{c1}:"


async def test_a_first_heartbeat_writes_these_keys(replica: Replica) -> None:
    """S3, S12: the two public keys, the place, the chapter, the state, one entry in the agenda; no more."""
    done = await replica.beat(
        "ada", "tab", chapter="ch-1", name="Ada", avatar_url="https://a.example/a", seq=4
    )

    redis = replica.redis
    record = await redis.hgetall(f"{C}viewer:ada")
    lease, seq, place, flags, digest, chapter = record.pop(b"s:tab").decode().split(" ")
    assert await replica.names() == {
        *(f"{C}{name}" for name in ("viewers", "viewer:ada", "places", "chapters", "state")),
        "presence:agenda:0",
    }
    assert await redis.zrange(f"{C}viewers", 0, -1, withscores=True) == [(b"ada", done.expires_at)]
    assert await redis.zrange(f"{C}places", 0, -1, withscores=True) == [(b"1 ada", STRETCH + done.expires_at)]
    assert await redis.hgetall(f"{C}chapters") == {b"ch-1": b"1"}
    assert (int(lease), seq, place, flags, chapter) == (done.expires_at, "4", "1", "--", "ch-1")
    assert len(digest) == 8
    assert record == {
        b"name": b"Ada",
        b"avatar_url": b"https://a.example/a",
        b"joined_at": str(done.as_of).encode(),
    }
    assert await redis.zrange("presence:agenda:0", 0, -1, withscores=True) == [(b"c1", done.expires_at)]


async def test_expiries_of_the_keys(replica: Replica) -> None:
    """S12: the viewer's hash dies with the lease, sets well after it, state after a day, the agenda never."""
    done = await replica.beat("ada", chapter="ch-1", anonymous=True)
    redis = replica.redis

    sets = {await redis.pexpiretime(f"{C}{name}") for name in ("viewers", "places", "chapters", "anonymous")}

    assert await redis.pexpiretime(f"{C}viewer:ada") == done.expires_at
    assert sets == {done.as_of + HIDDEN_TTL * 3 // 2}
    # A relative expiry: Redis adds it to the moment of that command, which may be a millisecond later.
    assert 0 <= await redis.pexpiretime(f"{C}state") - (done.as_of + 86_400_000) < 1_000
    assert await redis.pttl("presence:agenda:0") == -1


async def test_a_renewal_moves_the_lease_only(replica: Replica) -> None:
    """S3: every score, the record and the hash's expiry go with the lease; nothing else changes."""
    await replica.beat("ada", chapter="ch-1", anonymous=True, seq=1)
    before = await replica.redis.hgetall(f"{C}state")
    await asyncio.sleep(0.005)
    done = await replica.beat("ada", chapter="ch-1", anonymous=True, seq=2)
    redis = replica.redis

    record = (await redis.hget(f"{C}viewer:ada", "s:main")).decode().split(" ")

    assert record[:2] == [str(done.expires_at), "2"]
    assert await redis.zscore(f"{C}viewers", "ada") == done.expires_at
    assert await redis.zscore(f"{C}anonymous", "ada") == done.expires_at
    assert await redis.zscore(f"{C}places", "1 ada") == STRETCH + done.expires_at
    assert await redis.pexpiretime(f"{C}viewer:ada") == done.expires_at
    assert await redis.hgetall(f"{C}state") == before


async def test_a_shorter_lease_of_another_session_lowers_no_score(replica: Replica) -> None:
    """S1: scores and the hash's expiry are the longest lease of all sessions, in whatever order they beat."""
    hidden = await replica.beat("ada", "hidden", chapter="ch-1", hidden=True)
    for _ in range(2):
        await replica.beat("ada", "shown", chapter="ch-1")

    assert await replica.redis.zscore(f"{C}viewers", "ada") == hidden.expires_at
    assert await replica.redis.zscore(f"{C}places", "1 ada") == STRETCH + hidden.expires_at
    assert await replica.redis.pexpiretime(f"{C}viewer:ada") == hidden.expires_at
    assert await audit(replica.redis) == []


async def test_chapters_reuse_places(replica: Replica) -> None:
    """A chapter that emptied gives its place to the next one: numbers stay small however many come and go."""
    await replica.beat("stays", chapter="ch-0")
    for n in range(1, 30):
        await replica.beat("moves", chapter=f"ch-{n}")

    chapters = await replica.redis.hgetall(f"{C}chapters")

    assert chapters[b"ch-29"] in (b"2", b"3")
    assert len(chapters) <= 3
    assert await audit(replica.redis) == []


async def test_two_thousand_chapters_keep_apart(replica: Replica) -> None:
    """The highest places that the settings allow still hold exact scores below 2^53."""
    wide = Replica(replica.redis, chapters_per_course=2_000)
    await asyncio.gather(*(wide.beat(f"v{n}", chapter=f"ch-{n}") for n in range(2_000)))

    count = await wide.count()
    top = await replica.redis.zrange(f"{C}places", -1, -1, withscores=True)

    assert count.total == 2_000
    assert set(count.chapters.values()) == {1}
    assert top[0][1] < 2**53
    assert await audit(replica.redis) == []


async def test_a_batch_of_five_hundred(replica: Replica) -> None:
    """S1, S2: the largest batch, over several courses: each gets its own answer; renewals are one call."""
    beats = [
        write_of(f"v{n % 250}", f"s{n // 250}", course=f"c{n % 7}", chapter=f"ch-{n % 11}")
        for n in range(500)
    ]
    for calls in (range(1, MANY_CALLS), [1]):
        futures = [replica.presence.heartbeat(beat) for beat in beats]
        done = await asyncio.gather(*futures)
        assert all(recorded.expires_at == recorded.as_of + TTL for recorded in done)
        assert len({recorded.as_of for recorded in done}) in calls

    counts = await replica.presence.counts([f"c{n}" for n in range(7)])

    expected = [len({beat.viewer_id for beat in beats if beat.course_id == f"c{n}"}) for n in range(7)]
    assert [count.total for count in counts] == expected
    assert await audit(replica.redis) == []


async def test_one_viewer_many_times_in_a_batch(replica: Replica) -> None:
    """S6: within one call the order of arrival decides, also between a renewal and a move."""
    said = [
        ("main", "ch-1", 1),
        ("main", "ch-1", 2),
        ("main", "ch-2", 3),
        ("main", "ch-1", 2),
        ("tab", "ch-3", 1),
    ]
    await asyncio.gather(
        *(replica.presence.heartbeat(write_of("ada", s, chapter=ch, seq=seq)) for s, ch, seq in said)
    )

    assert (await replica.count()).chapters == {"ch-2": 1, "ch-3": 1}
    assert await audit(replica.redis) == []


async def test_refused_heartbeats_write_nothing(replica: Replica) -> None:
    """A refusal by a limit leaves no viewer, no chapter and no session behind."""
    narrow = Replica(replica.redis, sessions_per_viewer=1, chapters_per_course=1)
    await narrow.beat("ada", chapter="ch-1")
    before = await _everything(replica)
    await asyncio.gather(
        narrow.beat("ada", "tab", chapter="ch-1"), narrow.beat("bob", chapter="ch-2"), return_exceptions=True
    )

    assert await _everything(replica) == before


async def test_unknown_scripts_are_loaded(replica: Replica) -> None:
    """NOSCRIPT: after SCRIPT FLUSH each call works at once, and by its SHA the next time."""
    for n in range(3):
        await replica.redis.script_flush()
        await replica.beat(f"v{n}", chapter="ch-1")
        await replica.redis.script_flush()
        await replica.leave(f"v{n}", "never")
        await replica.redis.script_flush()
        assert await replica.total() == n + 1
        assert await replica.sweep() == 0


async def test_sets_are_kept_on_by_renewals(replica: Replica) -> None:
    """S12: a replica pushes the sets' expiry on again before the longest lease could outlive them."""
    await replica.beat("ada", chapter="ch-1")
    await replica.pass_time(HIDDEN_TTL / 4 + 1_000)
    aged = await replica.redis.pexpiretime(f"{C}viewers")
    done = await replica.beat("ada", chapter="ch-1")
    kept_on = await replica.redis.pexpiretime(f"{C}viewers")

    assert kept_on == done.as_of + HIDDEN_TTL * 3 // 2
    assert kept_on >= aged + HIDDEN_TTL / 4 + 1_000


@pytest.mark.parametrize("viewer", ["left", "s:x", "name"])
async def test_ids_that_look_like_fields(replica: Replica, viewer: str) -> None:
    """A viewer or session called like a field or a key part is nothing special."""
    await replica.beat(viewer, "name", chapter="version")
    await replica.beat(viewer, "s:s:x", chapter="dirty")
    await replica.leave(viewer, "name")

    assert (await replica.count()).chapters == {"dirty": 1}
    assert await audit(replica.redis) == []


async def _everything(replica: Replica) -> dict[str, bytes]:
    return {name: await replica.redis.dump(name) for name in await replica.names()}


@pytest.mark.parametrize("before", ["nothing", "lower", "ahead", "soft leave", "hard leave", "lapsed"])
async def test_a_fresh_heartbeat_is_newer_than_all_before(replica: Replica, before: str) -> None:
    """S6: a socket's join begins its session anew, and learns the seq that its later words must carry."""
    ahead = 2**52
    if before != "nothing":
        await replica.beat("ada", seq=ahead if before == "ahead" else 4, chapter="ch-1")
    if before == "soft leave":
        await replica.leave("ada", seq=5, soft=True)
    elif before == "hard leave":
        await replica.leave("ada")
    elif before == "lapsed":
        await replica.pass_time(TTL + 1)

    write = write_of("ada", chapter="ch-1")
    done = await replica.presence.heartbeat(write, NEWEST)
    again = await replica.presence.heartbeat(write, pack_seq(done.seq))
    late = await replica.beat("ada", seq=ahead if before == "ahead" else 6, chapter="ch-9")

    record = (await replica.redis.hget(f"{C}viewer:ada", "s:main")).split(b" ")
    assert done.seq == (ahead + 1 if before == "ahead" else done.as_of)
    assert done.expires_at == done.as_of + TTL
    assert again.expires_at >= done.expires_at
    assert record[:2] == [str(again.expires_at).encode(), str(done.seq).encode()]
    assert late.expires_at == again.expires_at
    assert (await replica.count()).chapters == {"ch-1": 1}
    assert await audit(replica.redis) == []


def test_a_renewal_makes_no_function_that_it_does_not_need() -> None:
    """R12: each closure costs Redis some 2,000 instructions a call: most wait until they are needed."""
    text = HEARTBEAT.text
    slow = text[text.index("local function make_slow()") : text.index("return { course_at = course_at")]
    assert slow.count("function") > 40
    assert text.replace(slow, "").count("local function") <= 4


async def test_a_tab_that_hides_leaves_the_expiry_of_its_course_alone(replica: Replica) -> None:
    """R12: the sets' expiry is pushed on when a count changes, or when it is time; nothing changes here."""
    await replica.beat("ada", "tab", chapter="ch-1")
    before = await replica.redis.pexpiretime(f"{C}viewers")
    await asyncio.sleep(0.005)

    await replica.beat("ada", "tab", chapter="ch-1", hidden=True)

    assert await replica.redis.pexpiretime(f"{C}viewers") == before

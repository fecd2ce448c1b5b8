"""take_over.lua by itself: what changes hands, what is left behind, and what both look like in Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from presence_svc.store import calls
from presence_svc.store.write import WithSeq
from tests.rig import Backend
from tests.store.audit import audit
from tests.store.replica import SIGNING_IN, Ear, Replica, write_of

STRETCH = 2**42
TTL = 60_000
C = "presence:{c1}:"
A = "anon~0123"
S = "session-of-sixteen"


@pytest.fixture
def replica(real_backend: Backend) -> Replica:
    return Replica(real_backend.client(protocol=2), **SIGNING_IN)


async def anonymous(replica: Replica, **said: Any) -> int:
    """The anonymous session says that it is here; the end of its lease."""
    return (await replica.beat(A, S, anonymous=True, **said)).expires_at


def signed_in(viewer: str = "ada", session: str = S, *, before: str = A, **said: Any) -> WithSeq:
    write = write_of(viewer, session, take_over_from=before, **said)
    return write, write.seq


async def take_over(replica: Replica, *writes: WithSeq) -> list[int]:
    """The script alone, without the heartbeats that follow it."""
    call = calls.take_over_call(replica.keys, replica.settings, writes, replica.keys.partitions[0])
    reply: list[int] = (await replica.link.pipeline([call]))[0]
    return reply


async def records(replica: Replica, viewer: str) -> dict[str, str]:
    found: dict[bytes, bytes] = await replica.redis.hgetall(f"{C}viewer:{viewer}")
    return {field.decode(): value.decode() for field, value in found.items()}


async def scores(replica: Replica, name: str) -> dict[str, int]:
    found = await replica.redis.zrange(f"{C}{name}", 0, -1, withscores=True)
    return {member.decode(): int(score) for member, score in found}


async def test_the_session_changes_hands_as_it_was(replica: Replica) -> None:
    """S1-S3: lease, seq, chapter, hiddenness and time of joining go with it; only the anonymity stays."""
    ends = await anonymous(replica, chapter="ch-1", hidden=True, seq=3)
    joined_at = (await records(replica, A))["joined_at"]
    await take_over(replica, signed_in(seq=4))

    assert await records(replica, "ada") == {"joined_at": joined_at, f"s:{S}": f"{ends} 3 1 h- - ch-1"}
    assert await scores(replica, "viewers") == {"ada": ends}
    assert await scores(replica, "places") == {"1 ada": STRETCH + ends}
    assert await scores(replica, "anonymous") == {}
    assert await replica.redis.pexpiretime(f"{C}viewer:ada") == ends
    assert await audit(replica.redis) == []


async def test_nothing_of_the_anonymous_viewer_is_left_but_a_mark(replica: Replica) -> None:
    """S6, S12: no hash, no scores; the mark is the heartbeat's seq, and lives for one TTL."""
    await anonymous(replica, chapter="ch-1", seq=3)
    await take_over(replica, signed_in(seq=4))

    assert await replica.redis.exists(f"{C}viewer:{A}", f"{C}left:ada") == 0
    assert await replica.redis.hgetall(f"{C}left:{A}") == {S.encode(): b"4"}
    assert TTL - 5_000 < await replica.redis.pttl(f"{C}left:{A}") <= TTL


async def test_the_sets_keep_their_expiry(replica: Replica) -> None:
    """S12: a set in which the anonymous viewer stood alone does not end and begin anew, for ever."""
    await anonymous(replica, chapter="ch-1")
    names = [f"{C}{name}" for name in ("viewers", "places", "anonymous")]
    before = [await replica.redis.pexpiretime(name) for name in names]
    await take_over(replica, signed_in(anonymous=True))

    assert await scores(replica, "anonymous") == await scores(replica, "viewers")
    assert [await replica.redis.pexpiretime(name) for name in names] == before
    assert await audit(replica.redis) == []


async def test_without_a_seq_the_mark_is_for_good(replica: Replica) -> None:
    """S6: nothing tells an older packet from a newer one, so that none of the session's is heard any more."""
    await anonymous(replica)
    await take_over(replica, signed_in())

    assert await replica.redis.hgetall(f"{C}left:{A}") == {S.encode(): b"!"}


async def test_who_was_not_anonymous_leaves_no_trace_without_a_seq(replica: Replica) -> None:
    """S12: most sessions never were; with a seq there is a mark, since an older packet may be under way."""
    await take_over(replica, signed_in())
    nothing = await replica.names()
    await take_over(replica, signed_in(seq=4))

    assert nothing == set()
    assert await replica.names() == {f"{C}left:{A}"}


async def test_twice_is_once(replica: Replica, ear: Ear) -> None:
    """S6: delivered again it writes nothing and says nothing."""
    await anonymous(replica, chapter="ch-1", seq=3)
    await take_over(replica, signed_in(seq=4), signed_in(seq=4))
    before = await records(replica, "ada"), await replica.redis.hgetall(f"{C}state")
    reply = await take_over(replica, signed_in(seq=4))

    assert reply[1:] == [0]
    assert (await records(replica, "ada"), await replica.redis.hgetall(f"{C}state")) == before
    assert await audit(replica.redis) == []


async def test_a_message_is_due_when_the_course_has_just_spoken(replica: Replica) -> None:
    """S8: the reply says when, and the state and the agenda know."""
    await anonymous(replica)
    reply = await take_over(replica, signed_in())
    due = reply[1]

    assert 0 < due - reply[0] <= replica.settings.publish_interval_ms
    assert await replica.redis.hget(f"{C}state", "dirty") == str(due).encode()
    assert await replica.redis.zscore("presence:agenda:0", "c1") <= due


async def test_a_viewer_with_another_session_keeps_their_time_of_joining(replica: Replica) -> None:
    """S1: whoever was there before joined then; the session stands beside the other, with its own lease."""
    await replica.beat("ada", "desk", chapter="ch-2", hidden=True, name="Ada")
    joined_at = (await records(replica, "ada"))["joined_at"]
    await asyncio.sleep(0.005)
    ends = await anonymous(replica, chapter="ch-1")
    await take_over(replica, signed_in())
    found = await records(replica, "ada")

    assert (found["joined_at"], found["name"]) == (joined_at, "Ada")
    assert await scores(replica, "places") == {
        "1 ada": STRETCH + (await scores(replica, "viewers"))["ada"],
        "2 ada": 2 * STRETCH + ends,
    }
    assert await audit(replica.redis) == []


async def test_who_wants_no_name_has_none_for_a_moment_either(replica: Replica) -> None:
    """S7: a viewer who is signed in and anonymous is that from the first, and their name goes."""
    await replica.beat("ada", "desk", name="Ada")
    ends = await anonymous(replica)
    await take_over(replica, signed_in(anonymous=True))

    assert (await records(replica, "ada")).keys() == {
        "joined_at",
        "hidden_name",  # of the other tab, should this one go
        "s:desk",
        f"s:{S}",
    }
    assert await scores(replica, "anonymous") == {"ada": ends}
    assert await replica.listed() == []


async def test_what_the_viewer_has_said_already_stands(replica: Replica) -> None:
    """S6: a session that is theirs, by a newer heartbeat than this one, is not as anonymous as it was."""
    await replica.beat("ada", S, chapter="ch-2", name="Ada", seq=9)
    before = await records(replica, "ada")
    await anonymous(replica, chapter="ch-1", hidden=True, seq=1)
    await take_over(replica, signed_in(seq=5))

    assert await records(replica, "ada") == before
    assert (await scores(replica, "viewers")).keys() == {"ada"}
    assert await audit(replica.redis) == []


@pytest.mark.parametrize("soft", [False, True])
async def test_a_viewer_who_has_left_is_not_revived(replica: Replica, soft: bool) -> None:
    """S6: their leave came before their first heartbeat: both are gone, as in the order of sending."""
    await anonymous(replica, chapter="ch-1", seq=1)
    await replica.leave("ada", S, seq=3, soft=soft)
    await take_over(replica, signed_in(seq=2))

    assert await records(replica, "ada") == {}
    assert await scores(replica, "viewers") == await scores(replica, "places") == {}
    assert await replica.redis.hgetall(f"{C}left:ada") == {S.encode(): b"3" if soft else b"!"}


async def test_a_session_that_is_anonymous_again_stays_so(replica: Replica) -> None:
    """S6: an older heartbeat with a token takes nothing, and what follows it will find that it is late."""
    await anonymous(replica, seq=5)
    before = await records(replica, A)
    reply = await take_over(replica, signed_in(seq=4))

    assert reply[1:] == [0]
    assert await records(replica, A) == before
    assert await replica.redis.hgetall(f"{C}left:ada") == {S.encode(): b"5"}


async def test_a_lapsed_session_is_nobodys(replica: Replica) -> None:
    """S4: a record whose lease has ended is not revived in other hands."""
    await anonymous(replica, seq=1)
    await replica.redis.persist(f"{C}viewer:{A}")
    await replica.pass_time(TTL + 1)
    await take_over(replica, signed_in(seq=2))

    assert await records(replica, "ada") == {}


async def test_what_a_lapsed_viewer_left_behind_is_cleared(replica: Replica) -> None:
    """S4: a name of long ago does not come back with the session."""
    await replica.redis.hset(f"{C}viewer:ada", mapping={"name": "Old", "joined_at": "1"})
    await anonymous(replica)
    await take_over(replica, signed_in())

    assert (await records(replica, "ada")).keys() == {"joined_at", f"s:{S}"}
    assert await audit(replica.redis) == []


async def test_there_is_no_way_around_the_limit_of_sessions(replica: Replica) -> None:
    """Beyond it the session is not the viewer's; nor is it anybody else's: they are counted already."""
    for n in range(replica.settings.sessions_per_viewer):
        await replica.beat("ada", f"tab-{n}")
    await anonymous(replica, chapter="ch-1")
    await take_over(replica, signed_in())

    assert f"s:{S}" not in await records(replica, "ada")
    assert (await scores(replica, "viewers")).keys() == {"ada"}
    assert await scores(replica, "places") == {}


async def test_marks_are_bounded(replica: Replica) -> None:
    """S12: nobody piles up marks on a viewer by signing in with many sessions."""
    writes = [signed_in("ada", f"{S}{n}", seq=1) for n in range(1_000)]
    await take_over(replica, *writes)

    assert 0 < await replica.redis.hlen(f"{C}left:{A}") <= 256


async def test_the_largest_seq_is_kept_exactly(replica: Replica) -> None:
    """S6: 2^53 - 1 is no rounded number."""
    await anonymous(replica, seq=2**53 - 2)
    await take_over(replica, signed_in(seq=2**53 - 1))

    assert await replica.redis.hgetall(f"{C}left:{A}") == {S.encode(): b"9007199254740991"}


async def test_five_hundred_in_one_call(replica: Replica) -> None:
    """A replica that has just started asks for all whom it hears: of several courses, each in its place."""
    names = [(f"v{n}", f"anon~{n}", f"{S}{n}", f"c{n % 5}") for n in range(500)]
    for _, before, session, course in names:
        await replica.beat(before, session, course=course, chapter="ch", anonymous=True, seq=1)
    writes = [
        signed_in(viewer, session, before=before, course=course, seq=2)
        for viewer, before, session, course in names
    ]
    await take_over(replica, *writes)
    counts = await replica.presence.counts([f"c{n}" for n in range(5)])

    assert [(count.total, count.anonymous, count.chapters) for count in counts] == [(100, 0, {"ch": 100})] * 5
    assert await audit(replica.redis) == []


async def test_a_full_redis_refuses_it_whole(replica: Replica) -> None:
    """Nothing is half written: not a session that is neither theirs nor another's."""
    await anonymous(replica, chapter="ch-1", seq=1)
    before = await records(replica, A)
    call = calls.take_over_call(
        replica.keys, replica.settings, [signed_in(seq=2)], replica.keys.partitions[0]
    )
    await replica.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            await replica.redis.execute_command(call[0], call[1].text, *call[2:])
    finally:
        await replica.redis.config_set("maxmemory", 0)

    assert await records(replica, A) == before
    assert await replica.redis.exists(f"{C}viewer:ada", f"{C}left:{A}") == 0

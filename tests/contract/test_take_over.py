"""From anonymous to signed in on the same session: the count does not move (S1, S6-S8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from presence_svc.errors import Limited, Unavailable
from tests.rig import Backend
from tests.store.audit import audit
from tests.store.replica import SIGNING_IN, Ear, Replica, write_of

TTL, GRACE = 60_000, 3_000
A = "anon~0123"
S = "session-of-sixteen"
Numbers = tuple[int, int, int]


@pytest.fixture
def replica(backend: Backend) -> Replica:
    return Replica(backend.client(protocol=2), **SIGNING_IN)


@pytest.fixture
def other(backend: Backend) -> Replica:
    return Replica(backend.client(protocol=2), **SIGNING_IN)


async def anonymous(replica: Replica, **said: Any) -> int:
    """A heartbeat of the session without a token; the total that it is told."""
    return (await replica.beat(A, S, anonymous=True, **said)).total


async def signed_in(replica: Replica, viewer: str = "ada", **said: Any) -> int:
    """A heartbeat of the same session with a token."""
    return (await replica.beat(viewer, S, take_over_from=A, **said)).total


async def numbers(replica: Replica) -> Numbers:
    count = await replica.count()
    return count.total, count.named, count.anonymous


async def heard(replica: Replica, ear: Ear) -> list[Numbers]:
    """All that was published, what still had to be included."""
    await replica.settle()
    return [(one["total"], one["named"], one["anonymous"]) for one in await ear.hear()]


async def test_the_count_does_not_move(replica: Replica, ear: Ear) -> None:
    """S1, S7, S8: every reply, read and message has one viewer; afterwards it has a name."""
    totals = [await anonymous(replica, seq=1), await signed_in(replica, seq=2, name="Ada")]
    totals += [await signed_in(replica, seq=3, name="Ada")]

    assert totals == [1, 1, 1]
    assert await numbers(replica) == (1, 1, 0)
    assert await heard(replica, ear) == [(1, 0, 1), (1, 1, 0)]
    (viewer,) = (await replica.page()).viewers
    assert (viewer.viewer_id, viewer.name) == ("ada", "Ada")
    assert await audit(replica.redis) == []


@pytest.mark.parametrize("seqs", [(1, 2), (None, None)])
async def test_nor_for_a_minute_after(
    replica: Replica, ear: Ear, seqs: tuple[int | None, int | None]
) -> None:
    """S9: nothing of the anonymous viewer ends later than the heartbeat by which it was somebody."""
    await anonymous(replica, seq=seqs[0])
    await signed_in(replica, seq=seqs[1])
    for _ in range(2):
        await replica.pass_time(TTL - 1_000)
        await signed_in(replica)

    assert {total for total, _, _ in await heard(replica, ear)} == {1}
    assert await numbers(replica) == (1, 1, 0)


async def test_among_others_and_in_a_chapter(replica: Replica, ear: Ear) -> None:
    """S2, S8: two others and a chapter: no message of any number but these."""
    await replica.beat("bob", chapter="ch-1")
    await replica.beat("ghost", chapter="ch-1", anonymous=True)
    await anonymous(replica, chapter="ch-1", seq=1)
    await replica.settle()
    before = len(await ear.hear())
    await signed_in(replica, chapter="ch-1", seq=2)
    await replica.settle()
    messages = (await ear.hear())[before:]

    assert [(one["total"], one["named"], one["chapters"]) for one in messages] == [(3, 2, {"ch-1": 3})]
    assert await numbers(replica) == (3, 2, 1)


async def test_with_a_move_to_another_chapter(replica: Replica, ear: Ear) -> None:
    """S2: who signs in and moves at once was in one chapter at any time."""
    await anonymous(replica, chapter="ch-1")
    await signed_in(replica, chapter="ch-2")
    await replica.settle()

    chapters = [one["chapters"] for one in await ear.hear()]
    assert chapters[-1] == {"ch-2": 1}
    assert all(sum(one.values()) == 1 for one in chapters)
    assert (await replica.count()).chapters == {"ch-2": 1}


async def test_a_late_anonymous_packet_changes_nothing(replica: Replica, ear: Ear) -> None:
    """S6: whether it was counted before or not: a lower seq is older than the name."""
    await anonymous(replica, seq=1)
    await signed_in(replica, seq=3)
    totals = [await anonymous(replica, seq=2), await anonymous(replica, seq=1)]

    assert totals == [1, 1]
    assert await numbers(replica) == (1, 1, 0)
    assert {total for total, _, _ in await heard(replica, ear)} == {1}


async def test_nor_does_one_that_comes_after_the_name(replica: Replica) -> None:
    """S6: the first packet of all arrives last: the person has been somebody from the start."""
    await signed_in(replica, seq=2)
    await anonymous(replica, seq=1)

    assert await numbers(replica) == (1, 1, 0)


async def test_without_seqs_nothing_anonymous_is_believed_any_more(replica: Replica) -> None:
    """S6: a packet without a seq cannot be told from a late one."""
    await anonymous(replica)
    await signed_in(replica)
    await anonymous(replica)

    assert await numbers(replica) == (1, 1, 0)


async def test_who_signs_out_may_be_anonymous_again_and_sign_in_again(replica: Replica) -> None:
    """S6: later seqs count, whoever says them; and a late packet with a token takes nothing back."""
    await anonymous(replica, seq=1)
    await signed_in(replica, seq=2)
    await replica.leave("ada", S, soft=True, seq=3)
    await replica.pass_time(GRACE + 1)
    await anonymous(replica, seq=4)
    out = await numbers(replica)
    await signed_in(replica, seq=2)
    late = await numbers(replica)
    await signed_in(replica, seq=5)

    assert (out, late) == ((1, 0, 1), (1, 0, 1))
    assert await numbers(replica) == (1, 1, 0)


async def test_somebody_else_signs_in_after_that(replica: Replica) -> None:
    """S1: the anonymous session is whose token comes next."""
    await anonymous(replica, seq=1)
    await signed_in(replica, seq=2)
    await replica.leave("ada", S)
    await anonymous(replica, seq=4)
    await signed_in(replica, "bob", seq=5)

    assert await replica.listed() == ["bob"]
    assert await numbers(replica) == (1, 1, 0)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("order", ["leave first", "leave last"])
async def test_a_leave_beats_the_name_whichever_comes_first(replica: Replica, soft: bool, order: str) -> None:
    """S5, S6: a viewer's leave of the session ends it as it was, anonymous or not, in both orders alike."""
    await anonymous(replica, seq=1)
    if order == "leave first":
        await replica.leave("ada", S, soft=soft, seq=3)
    await signed_in(replica, seq=2)
    if order == "leave last":
        await replica.leave("ada", S, soft=soft, seq=3)
    await replica.pass_time(GRACE + 1)

    assert await numbers(replica) == (0, 0, 0)


async def test_a_leave_of_the_anonymous_session_comes_too_late(replica: Replica) -> None:
    """S5: a goodbye that was sent before the name and arrives after it ends nobody's presence."""
    await anonymous(replica, seq=1)
    await signed_in(replica, seq=3)
    await replica.leave(A, S, seq=2)

    assert await numbers(replica) == (1, 1, 0)


async def test_a_viewer_who_is_there_already_was_counted_twice(replica: Replica, ear: Ear) -> None:
    """S1: a phone of theirs is there: until now they looked like two, from now on they are one."""
    await replica.beat("ada", "phone", chapter="ch-1")
    await anonymous(replica, chapter="ch-1")
    await signed_in(replica, chapter="ch-1")

    assert await numbers(replica) == (1, 1, 0)
    assert (await replica.count()).chapters == {"ch-1": 1}
    assert (await heard(replica, ear))[-1] == (1, 1, 0)
    await replica.leave("ada", "phone")
    assert await numbers(replica) == (1, 1, 0)


async def test_who_signs_in_to_stay_anonymous_is_never_named(replica: Replica, ear: Ear) -> None:
    """S7: not for a moment, in no message and no roster."""
    await anonymous(replica, seq=1)
    await signed_in(replica, anonymous=True, name="Ada", seq=2)

    assert set(await heard(replica, ear)) == {(1, 0, 1)}
    assert await replica.listed() == []


async def test_a_session_too_many_is_refused_and_counts_nobody_twice(backend: Backend) -> None:
    """S1: 429 as for any session; the viewer is counted by the others, so the anonymous one ends."""
    narrow = Replica(backend.client(protocol=2), sessions_per_viewer=1, **SIGNING_IN)
    await narrow.beat("ada", "phone")
    await anonymous(narrow, seq=1)
    with pytest.raises(Limited):
        await signed_in(narrow, seq=2)

    assert await numbers(narrow) == (1, 1, 0)
    await narrow.leave("ada", "phone")
    await signed_in(narrow, seq=3)
    assert await numbers(narrow) == (1, 1, 0)


async def test_a_hidden_tab_that_signs_in_keeps_its_longer_lease(replica: Replica) -> None:
    """S3: until it says otherwise."""
    await anonymous(replica, hidden=True)
    await signed_in(replica, hidden=True)
    await replica.pass_time(TTL + 1)

    assert await numbers(replica) == (1, 1, 0)


async def test_across_replicas(replica: Replica, other: Replica, ear: Ear) -> None:
    """S10: anonymous here, signed in there, late here: one person, by every replica's word."""
    totals = [await anonymous(replica, seq=1), await signed_in(other, seq=3)]
    totals += [await anonymous(replica, seq=2), await signed_in(replica, seq=4)]

    assert totals == [1, 1, 1, 1]
    assert await numbers(replica) == await numbers(other) == (1, 1, 0)
    assert {total for total, _, _ in await heard(replica, ear)} == {1}


async def test_all_at_once_is_as_one_after_the_other(replica: Replica, ear: Ear) -> None:
    """S6: in one exchange, without any seq: who was anonymous first and then somebody is one."""
    await replica.beat("bob")
    await asyncio.gather(anonymous(replica), signed_in(replica))

    assert await numbers(replica) == (2, 2, 0)
    assert [total for total, _, _ in await heard(replica, ear)] == [1, 2]


@pytest.mark.parametrize("known", ["no script", "heartbeats only"])
async def test_scripts_that_redis_does_not_know(replica: Replica, ear: Ear, known: str) -> None:
    """S8: after a flush, and at the first take-over ever: what is sent again keeps its place."""
    await anonymous(replica, seq=1)
    await replica.redis.script_flush()
    if known == "heartbeats only":
        await anonymous(replica, seq=2)
    total = await signed_in(replica, seq=3)

    assert total == 1
    assert await numbers(replica) == (1, 1, 0)
    assert {total for total, _, _ in await heard(replica, ear)} == {1}


async def test_what_failed_is_not_forgotten(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: Redis was away at the first try: the same heartbeat still says whose the session was."""
    await anonymous(replica, seq=1)
    said = write_of("ada", S, take_over_from=A, seq=2)

    async def away(commands: object, **options: object) -> None:
        raise Unavailable("Redis is away")

    with monkeypatch.context() as patched:
        patched.setattr(replica.link, "results", away)
        with pytest.raises(Unavailable):
            await replica.presence.heartbeat(said)
    await replica.presence.heartbeat(said)

    assert await numbers(replica) == (1, 1, 0)


async def test_a_steady_heartbeat_asks_once(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same heartbeat again is a heartbeat as any other: one call, and no word of who it was."""
    said = write_of("ada", S, take_over_from=A, seq=2)
    sent: list[int] = []
    results = replica.link.results

    async def counted(commands: Any) -> list[Any]:
        sent.append(len(commands))
        return await results(commands)

    monkeypatch.setattr(replica.link, "results", counted)
    for _ in range(3):
        await replica.presence.heartbeat(said)

    assert sent == [2, 1, 1]

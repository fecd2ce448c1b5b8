"""Rule S8: what the channel says, when, and that the last word is the truth."""

from __future__ import annotations

import asyncio

import pytest

from tests.rig import Backend
from tests.store.replica import Ear, Replica, said, without_moment

INTERVAL = 2_000


@pytest.fixture
def replica(backend: Backend) -> Replica:
    """With the longest interval that may be set: a busy machine must not let it run out within a test."""
    return Replica(backend.client(protocol=2), publish_interval=INTERVAL / 1_000)


@pytest.fixture
def other(backend: Backend) -> Replica:
    """Another replica, with the same settings."""
    return Replica(backend.client(protocol=2), publish_interval=INTERVAL / 1_000)


async def test_the_first_change_is_published_at_once(replica: Replica, ear: Ear) -> None:
    """S8: one message, without any sweep, that says all that a count says."""
    await replica.beat("ada", chapter="ch-1")
    await replica.beat("ada", chapter="ch-1")

    messages = await ear.hear()

    assert without_moment(messages) == [said(await replica.count())]
    assert messages[0]["chapters"] == {"ch-1": 1}
    assert messages[0]["version"] == messages[0]["as_of"]


async def test_a_message_is_the_whole_truth(replica: Replica, ear: Ear) -> None:
    """S8: exactly the fields of the contract; no deltas, nothing else."""
    await replica.beat("ada", chapter="ch-1")
    await replica.beat("ghost", anonymous=True)
    await replica.settle()

    last = (await ear.hear())[-1]
    version, as_of = last.pop("version"), last.pop("as_of")

    assert last == {
        "type": "count",
        "course_id": "c1",
        "total": 2,
        "named": 1,
        "anonymous": 1,
        "chapters": {"ch-1": 1},
    }
    assert as_of - 1_000 < version <= await replica.now()


async def test_bursts_coalesce(replica: Replica, ear: Ear) -> None:
    """S8: twenty joins within the interval are one message at once and one when it is over."""
    for n in range(20):
        await replica.beat(f"v{n}")
    at_once = [message["total"] for message in await ear.hear()]
    await replica.settle()

    assert at_once == [1]
    assert [message["total"] for message in await ear.hear()] == [1, 20]


async def test_a_change_after_the_interval_is_published_at_once(replica: Replica, ear: Ear) -> None:
    """S8: the leading edge is back once the last message is older than PUBLISH_INTERVAL."""
    await replica.beat("ada")
    await replica.pass_time(INTERVAL + 1)
    await replica.beat("bob")

    assert [message["total"] for message in await ear.hear()] == [1, 2]


async def test_a_change_and_its_undoing_end_right(replica: Replica, ear: Ear) -> None:
    """S8: join and leave within one interval: the last message says that nobody is there."""
    await replica.beat("ada")
    await replica.beat("bob")
    await replica.leave("ada")
    await replica.leave("bob")
    await replica.settle()

    messages = await ear.hear()

    assert [message["total"] for message in messages] == [1, 0]
    assert without_moment(messages)[-1] == said(await replica.count())


async def test_another_replica_says_the_last_word(replica: Replica, other: Replica, ear: Ear) -> None:
    """S8: the replica that recorded a change dies before its message is due; any other sends it."""
    await replica.beat("ada")
    await replica.beat("bob")
    await other.pass_time(INTERVAL)
    await other.sweep()

    assert [message["total"] for message in await ear.hear()] == [1, 2]


async def test_a_claim_of_a_dead_replica_ends(replica: Replica, other: Replica, ear: Ear) -> None:
    """S8: who claims a course and dies delays its message by half a second, not for ever."""
    await replica.beat("ada")
    await replica.beat("bob")
    await replica.pass_time(INTERVAL)
    claimed = (await replica.agenda.due()).courses
    meanwhile = await other.sweep(), len(await ear.hear())
    await other.pass_time(500)
    await other.sweep()

    assert claimed == ["c1"]
    assert meanwhile == (0, 1)
    assert [message["total"] for message in await ear.hear()] == [1, 2]


async def test_renewals_are_silent(replica: Replica, ear: Ear) -> None:
    """S8: heartbeats that change no count say nothing, however many come."""
    await replica.beat("ada", chapter="ch-1", seq=1)
    for seq in range(2, 12):
        await replica.pass_time(27_000)
        await replica.beat("ada", chapter="ch-1", seq=seq)
        await replica.sweep()

    assert len(await ear.hear()) == 1


async def test_an_expiry_is_published_by_the_sweep(replica: Replica, ear: Ear) -> None:
    """S9: the sweep that removes who crashed says so, and says it once."""
    await replica.beat("ada", chapter="ch-1")
    await replica.pass_time(60_001)
    gone = [await replica.sweep(), await replica.sweep()]

    assert gone == [1, 0]
    assert [(m["total"], m["chapters"]) for m in await ear.hear()] == [(1, {"ch-1": 1}), (0, {})]


async def test_a_change_of_chapter_is_published(replica: Replica, ear: Ear) -> None:
    """S8: the total stays, a chapter changes: a message."""
    await replica.beat("ada", chapter="ch-1")
    await replica.pass_time(INTERVAL + 1)
    await replica.beat("ada", chapter="ch-2")

    assert [message["chapters"] for message in await ear.hear()] == [{"ch-1": 1}, {"ch-2": 1}]


async def test_a_chapter_that_lapses_alone_is_published(replica: Replica, ear: Ear) -> None:
    """S9: one tab crashes while the other lives on: the chapter's end is said at its own time."""
    await replica.beat("ada", "hidden", chapter="ch-1", hidden=True)
    await replica.beat("ada", "tab", chapter="ch-2")
    await replica.settle()
    await replica.pass_time(60_001)
    await replica.settle()

    assert [m["chapters"] for m in await ear.hear()][-1] == {"ch-1": 1}


async def test_anonymity_that_lapses_alone_is_published(replica: Replica, ear: Ear) -> None:
    """S8, S9: a viewer's anonymous tab crashes; others' sweeps in between do not make it forgotten."""
    await replica.beat("ada", "open", hidden=True)
    await replica.pass_time(10_000)
    await replica.beat("bob")
    await replica.pass_time(10_000)
    await replica.beat("ada", "secret", anonymous=True)
    await replica.settle()
    await replica.pass_time(50_001)  # bob's lease is over, the secret tab's is not
    await replica.settle()
    await replica.pass_time(10_000)
    await replica.settle()

    last = (await ear.hear())[-1]

    assert (last["total"], last["named"], last["anonymous"]) == (1, 1, 0)


async def test_a_soft_leave_is_published_when_the_grace_ends(replica: Replica, ear: Ear) -> None:
    """S5, S8: nothing is said while a reload may be under way, the truth when it was none."""
    await replica.beat("ada")
    await replica.pass_time(1_000)
    await replica.leave("ada", soft=True)
    await replica.settle()
    before = len(await ear.hear())
    await replica.pass_time(3_001)
    await replica.settle()

    assert before == 1
    assert [message["total"] for message in await ear.hear()] == [1, 0]


async def test_versions_grow_over_a_loss_of_all_data(replica: Replica, ear: Ear) -> None:
    """S8: a restart with empty data starts from Redis's clock, so that no version falls back."""
    for n in range(5):
        await replica.beat(f"v{n}")
        await replica.pass_time(INTERVAL + 1)
    await replica.redis.flushall()
    await asyncio.sleep(0.02)
    await replica.beat("ada")

    versions = [message["version"] for message in await ear.hear()]

    assert len(versions) == 6
    assert versions == sorted(set(versions))


async def test_a_course_unswept_for_long_still_gets_its_last_word(replica: Replica, ear: Ear) -> None:
    """S8: no replica ran while the last lease ended and the sets expired: the next sweep says zero, once."""
    await replica.beat("ada")
    await replica.pass_time(400_000)
    await replica.settle()
    await replica.pass_time(1_000)
    await replica.settle()

    assert [message["total"] for message in await ear.hear()] == [1, 0]


async def test_who_lapsed_unseen_and_returns_is_news(replica: Replica, ear: Ear) -> None:
    """S8: a message went out without a viewer whom no sweep had removed yet: their return is a change."""
    await replica.beat("ada", chapter="ch-1")
    await replica.pass_time(60_001)
    await replica.beat("bob")
    await replica.pass_time(INTERVAL + 1)
    await replica.beat("ada", chapter="ch-1")

    heard = [(message["total"], message["chapters"]) for message in await ear.hear()]

    assert heard == [(1, {"ch-1": 1}), (1, {}), (2, {"ch-1": 1})]


@pytest.mark.parametrize("how", ["shown again", "soft leave", "leave", "move"])
async def test_what_became_shorter_is_published_in_time(replica: Replica, ear: Ear, how: str) -> None:
    """S9: a lease that shrinks, alone or in its chapter, is looked at when it ends."""
    await replica.beat("ada", "long", chapter="ch-1", hidden=True)
    if how == "shown again":
        await replica.beat("ada", "long", chapter="ch-1")
    else:
        await replica.beat("ada", "other", chapter="ch-2", hidden=True)
        await replica.beat("ada", "short", chapter="ch-1")
    await replica.settle()
    if how == "soft leave":
        await replica.leave("ada", "short")
        await replica.leave("ada", "long", soft=True)
    elif how == "leave":
        await replica.leave("ada", "long")
    elif how == "move":
        await replica.beat("ada", "long", chapter="ch-2", hidden=True)
    await replica.pass_time(60_001)
    await replica.settle()

    expected = (0, {}) if how == "shown again" else (1, {"ch-2": 1})
    last = (await ear.hear())[-1]
    assert (last["total"], last["chapters"]) == expected

"""Limits of sessions and chapters, and rule S12: state is small and mortal."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from presence_svc.errors import Limited
from tests.rig import Backend
from tests.store.audit import audit
from tests.store.replica import Replica, write_of


@pytest.fixture
def narrow(backend: Backend) -> Replica:
    """A replica with room for two sessions per viewer and two chapters per course."""
    return Replica(backend.client(protocol=2), sessions_per_viewer=2, chapters_per_course=2)


async def test_a_session_too_many_is_refused(narrow: Replica) -> None:
    """The third live session gets 429 and changes nothing; the first two may go on, others too."""
    await narrow.beat("ada", "one")
    await narrow.beat("ada", "two")

    with pytest.raises(Limited) as refused:
        await narrow.beat("ada", "three")
    renewed = await narrow.beat("ada", "two")

    assert refused.value.status == 429
    assert refused.value.retry_after_s
    assert (renewed.total, (await narrow.beat("bob", "three")).total) == (1, 2)


@pytest.mark.parametrize("how", ["leave", "lapse"])
async def test_a_session_that_ended_makes_room(narrow: Replica, how: str) -> None:
    """The limit is on live sessions: left ones and lapsed ones do not count, swept or not."""
    await narrow.beat("ada", "one", hidden=True)
    await narrow.beat("ada", "two")
    if how == "leave":
        await narrow.leave("ada", "two")
    else:
        await narrow.pass_time(60_001)
    await narrow.beat("ada", "three")

    assert await narrow.total() == 1


async def test_a_chapter_too_many_is_refused(narrow: Replica) -> None:
    """A third chapter gets 429, the known ones go on; who asked for it stays where they were."""
    await narrow.beat("ada", chapter="ch-1")
    await narrow.beat("bob", chapter="ch-2")

    with pytest.raises(Limited):
        await narrow.beat("ada", chapter="ch-3")

    assert (await narrow.count()).chapters == {"ch-1": 1, "ch-2": 1}


async def test_the_anonymous_leave_chapters_to_others(narrow: Replica) -> None:
    """Made-up chapters of those who do not say who they are fill half the places and shut nobody out."""
    await narrow.beat("ghost-1", chapter="junk-1", anonymous=True)
    with pytest.raises(Limited):
        await narrow.beat("ghost-2", chapter="junk-2", anonymous=True)
    await narrow.beat("ada", chapter="ch-1")
    await narrow.beat("ghost-3", chapter="ch-1", anonymous=True)

    assert (await narrow.count()).chapters == {"junk-1": 1, "ch-1": 2}


async def test_an_empty_chapter_makes_room(narrow: Replica) -> None:
    """Only chapters with somebody in them count against the limit, also before any sweep."""
    await narrow.beat("ada", chapter="ch-1")
    await narrow.beat("bob", chapter="ch-2")
    await narrow.leave("bob")
    await narrow.beat("cleo", chapter="ch-3")
    left = (await narrow.count()).chapters
    await narrow.pass_time(60_001)
    await narrow.beat("dan", chapter="ch-4")

    assert left == {"ch-1": 1, "ch-3": 1}
    assert (await narrow.count()).chapters == {"ch-4": 1}


async def test_one_refusal_spoils_no_other(narrow: Replica) -> None:
    """In one exchange the refused get their error and the others are recorded."""
    await narrow.beat("ada", "one")
    await narrow.beat("ada", "two")
    futures = [
        narrow.presence.heartbeat(beat)
        for beat in (
            write_of("ada", "three"),
            write_of("bob"),
            write_of("ada", "one"),
            write_of("cleo"),
        )
    ]
    outcomes = [await _outcome(future) for future in futures]

    assert outcomes == ["refused", "recorded", "recorded", "recorded"]
    assert await narrow.total() == 3


async def _outcome(future: Awaitable[object]) -> str:
    try:
        await future
    except Limited:
        return "refused"
    return "recorded"


async def test_every_key_is_mortal(replica: Replica) -> None:
    """S12: whatever was said in whatever order, every key but the agenda has an expiry, and all agree."""
    await replica.beat("ada", "one", chapter="ch-1", name="Ada")
    await replica.beat("ada", "two", anonymous=True, hidden=True)
    await replica.beat("bob", chapter="ch-2", seq=1)
    await replica.leave("bob", soft=True, seq=2)
    await replica.leave("nobody")
    await replica.leave("ada", "one")
    await replica.beat("cleo", course="c2")
    await replica.shared.refresh()
    await replica.sweep()

    assert await audit(replica.redis) == []


async def test_an_empty_course_leaves_its_state_only(replica: Replica) -> None:
    """S12: after the last leave, a sweep and a TTL nothing is left but `state`, and that for a day."""
    state = replica.keys.course("c1").state
    for n in range(20):
        await replica.beat(f"v{n}", chapter=f"ch-{n % 4}", anonymous=n % 2 == 0)
        await replica.leave(f"v{n}", soft=n % 3 == 0)
    await replica.settle()
    await replica.pass_time(61_000)
    await replica.settle()

    assert await replica.names() == {state}
    assert 0 < await replica.redis.pttl(state) <= 86_400_000


async def test_a_course_lives_on_renewals_alone(replica: Replica) -> None:
    """S12: for ten minutes nothing but renewals: no set expires under the feet of who is there."""
    await replica.beat("ada", chapter="ch-1", anonymous=True)
    for _ in range(24):
        await replica.pass_time(27_000)
        await replica.beat("ada", chapter="ch-1", anonymous=True)

        count = await replica.count()
        assert (count.total, count.anonymous, count.chapters) == (1, 1, {"ch-1": 1})

    assert await audit(replica.redis) == []

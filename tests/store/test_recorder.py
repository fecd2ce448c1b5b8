"""The recorder: how much one exchange may ask of Redis, and in which order the rest of it is sent.

What bounds it is the number of commands that are run, which is the same on every machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from presence_svc.errors import PresenceError, Unavailable
from presence_svc.store.redis.link import Command
from presence_svc.store.redis.resp import ScriptCall
from presence_svc.store.write import NEWEST, HeartbeatResult, HeartbeatWrite, Write
from tests.rig import Backend
from tests.store.audit import audit
from tests.store.replica import SIGNING_IN, Replica, leave_of, write_of

MANY = 500  # in one group
MOST = 6_000  # commands: the budget of a call, and what the last viewer and course may take beyond it
OURS = ("info", "config|resetstat")


class Meter:
    """Counts the commands that each script call of a replica runs, and those of each exchange."""

    def __init__(self, replica: Replica) -> None:
        self._redis = replica.redis
        self._results = replica.link.results
        self.calls: list[int] = []
        self.exchanges: list[int] = []
        replica.link.results = self._one_by_one  # type: ignore[method-assign]

    async def _one_by_one(
        self, commands: Sequence[Command | ScriptCall], *, low_priority: bool = False
    ) -> list[Any | PresenceError]:
        replies = []
        self.exchanges.append(0)
        for command in commands:
            await self._redis.config_resetstat()
            replies += await self._results([command], low_priority=low_priority)
            found = await self._redis.info("commandstats")
            done = {name.removeprefix("cmdstat_"): one["calls"] for name, one in found.items()}
            if done.pop("evalsha", 0) + done.pop("eval", 0):
                self.calls.append(sum(n for name, n in done.items() if name not in OURS))
                self.exchanges[-1] += self.calls[-1]
        return replies


@pytest.fixture
async def replica(real_backend: Backend) -> Replica:
    """With history and people, as by default; all of its scripts are known."""
    made = Replica(real_backend.client(protocol=2), history=True, people=True, **SIGNING_IN)
    await made.beat("nobody", course="another")
    await made.leave("nobody", course="another")
    return made


async def record(replica: Replica, writes: Sequence[Write]) -> list[HeartbeatResult]:
    """Records a group as group commit hands it over. Raises the first error."""
    outcomes = await replica.presence.recorder.record(list(writes))
    for outcome in outcomes:
        if isinstance(outcome, PresenceError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, HeartbeatResult)]


def beats(writes: Sequence[HeartbeatWrite]) -> list[Write]:
    return [(write, write.seq) for write in writes]


def beats_again(replica: Replica, writes: Sequence[HeartbeatWrite]) -> list[Write]:
    """As they are when they were sent before: after a restart of Redis they are joins all the same."""
    for write in writes:
        write.pack_keys(replica.keys)
    return beats(writes)


def joins(course: str = "c1", many: int = MANY, chapters: int = 8) -> list[HeartbeatWrite]:
    """A course's name may contain {n}: then each viewer joins one of their own."""
    return [write_of(f"v{n}", course=course.format(n=n), chapter=f"ch-{n % chapters}") for n in range(many)]


@pytest.mark.parametrize(
    ("course", "chapters"), [("c1", 8), ("c{n}", 8), ("c1", MANY)], ids=["one course", "many", "chapters"]
)
async def test_a_call_of_many_arrivals_is_short(replica: Replica, course: str, chapters: int) -> None:
    """R12: five hundred join at once: several exchanges, each of which does as much as any other."""
    meter = Meter(replica)
    writes = joins(course, chapters=chapters)
    done = await record(replica, beats(writes))

    assert len(meter.exchanges) > 3
    assert max(meter.exchanges) < MOST
    assert all(one.expires_at > one.as_of for one in done)
    counts = await replica.presence.counts(sorted({write.course_id for write in writes}))
    assert sum(count.total for count in counts) == MANY
    assert await audit(replica.redis) == []


@pytest.mark.parametrize("course", ["c1", "c{n}"], ids=["one course", "many"])
async def test_a_call_is_short_after_a_restart(replica: Replica, course: str) -> None:
    """R12, R1: Redis has lost its data: what looks like five hundred renewals are joins."""
    meter = Meter(replica)
    await record(replica, beats_again(replica, joins(course)))

    assert len(meter.calls) > 3
    assert max(meter.calls) < MOST
    assert await audit(replica.redis) == []


async def test_a_viewer_of_many_courses_takes_many_calls(replica: Replica) -> None:
    """R12, S14: the list of a viewer's courses, up to 33,000 bytes, is written once for each of them."""
    writes = [write_of("ada", course=f"c{n}" + "x" * 120) for n in range(250)]
    meter = Meter(replica)
    await record(replica, beats(writes))
    joined = len(meter.calls)
    await record(replica, [leave_of("ada", course=write.course_id) for write in writes])

    assert joined > 15
    assert len(meter.calls) - joined > 15
    assert await audit(replica.redis) == []


@pytest.mark.parametrize("course", ["c1", "c{n}"], ids=["one course", "many"])
async def test_a_call_of_many_leaves_is_short(replica: Replica, course: str) -> None:
    """R12, S5: five hundred leave at once, and everybody is gone."""
    writes = joins(course)
    await record(replica, beats(writes))
    meter = Meter(replica)
    await record(replica, [leave_of(one.viewer_id, course=one.course_id) for one in writes])

    assert len(meter.exchanges) > 3
    assert max(meter.exchanges) < MOST
    counts = await replica.presence.counts(sorted({write.course_id for write in writes}))
    assert sum(count.total for count in counts) == 0
    assert await audit(replica.redis) == []


async def test_courses_of_many_chapters_are_few_in_a_call(replica: Replica) -> None:
    """R12, S8: a message names all chapters, and a new chapter looks for a place among them."""
    courses, chapters = 12, 400
    for n in range(courses):
        crowd = [write_of(f"v{c}", course=f"c{n}", chapter=f"ch-{c}") for c in range(chapters)]
        await record(replica, beats(crowd))
    await asyncio.sleep(replica.settings.publish_interval_ms / 1000)  # now each change is published at once
    meter = Meter(replica)
    await record(replica, beats([write_of("late", course=f"c{n}", chapter="new") for n in range(courses)]))

    assert sum(meter.calls) > courses * chapters
    assert max(meter.calls) < MOST
    counts = await replica.presence.counts([f"c{n}" for n in range(courses)])
    assert {len(count.chapters) for count in counts} == {chapters + 1}


async def test_a_call_of_many_take_overs_is_short(replica: Replica) -> None:
    """R12, S1: everybody signs in at once: nobody is missing, nobody is counted twice."""
    anonymous = [write_of(f"a{n}", f"s{n}", anonymous=True, chapter="ch-1") for n in range(MANY)]
    await record(replica, beats(anonymous))
    meter = Meter(replica)
    signed_in = [
        write_of(f"v{n}", f"s{n}", take_over_from=f"a{n}", chapter="ch-1", seq=1) for n in range(MANY)
    ]
    await record(replica, beats(signed_in))

    assert max(meter.calls) < MOST
    count = await replica.count()
    assert (count.total, count.anonymous, count.chapters) == (MANY, 0, {"ch-1": MANY})
    assert {write.take_over_from for write in signed_in} == {""}
    assert await audit(replica.redis) == []


@pytest.mark.parametrize(("course", "each"), [("c1", 3), ("c{n}", 6)], ids=["one course", "many"])
async def test_renewals_use_up_no_budget(replica: Replica, course: str, each: int) -> None:
    """R12: five hundred renewals are few commands, in as few calls as their arguments allow."""
    writes = joins(course)
    await record(replica, beats(writes))
    meter = Meter(replica)
    await record(replica, beats(writes))

    assert len(meter.exchanges) == 1
    assert len(meter.calls) == (1 if course == "c1" else 2)
    assert sum(meter.calls) <= each * MANY + 10


async def test_what_a_viewer_said_later_stays_later(replica: Replica) -> None:
    """S5, S6: a join that had to wait comes before its leave, a leave before the next join."""
    await replica.beat("comes back", chapter="ch-1")
    writes: list[Write] = [
        *beats_again(replica, joins(many=300)),
        (write_of("leaves", chapter="ch-1"), NEWEST),
        leave_of("leaves"),
        leave_of("comes back"),
        (write_of("comes back", chapter="ch-2"), NEWEST),
    ]
    meter = Meter(replica)
    done = await record(replica, writes)

    assert len(meter.calls) > 3
    assert done[-1].seq == done[-1].as_of
    assert (await replica.count()).total == 301
    assert not await replica.redis.exists("presence:{c1}:viewer:leaves")
    assert await replica.redis.exists("presence:{c1}:viewer:comes back")
    assert await audit(replica.redis) == []


async def test_a_take_over_waits_for_its_session(replica: Replica) -> None:
    """S1: an anonymous join had to wait, its take-over came at once: that is repeated after the join."""
    anonymous = write_of("anon", "tab", anonymous=True, chapter="ch-1")
    signed_in = write_of("ada", "tab", take_over_from="anon", chapter="ch-1")
    await record(replica, [*beats_again(replica, joins(many=300)), *beats([anonymous, signed_in])])
    count = await replica.count()

    assert (count.total, count.anonymous) == (301, 0)
    assert not await replica.redis.exists("presence:{c1}:viewer:anon")
    assert await audit(replica.redis) == []


async def test_an_error_leaves_the_others_alone(replica: Replica) -> None:
    """A heartbeat beyond a limit gets its own error, whichever call it is in, and no other does."""
    limit = replica.settings.sessions_per_viewer
    tabs = [write_of("ada", f"tab-{n}") for n in range(limit + 1)]
    outcomes = await replica.presence.recorder.record(beats_again(replica, [*joins(many=300), *tabs]))

    assert [index for index, one in enumerate(outcomes) if isinstance(one, PresenceError)] == [300 + limit]
    assert (await replica.count()).total == 301


async def test_there_is_an_end_to_sending_the_rest(replica: Replica) -> None:
    """R3: when the time of a request is over, those that are left get an error; the others are recorded."""
    replica.link.timeout_s = 0
    outcomes = await replica.presence.recorder.record(beats(joins()))
    refused = [one for one in outcomes if isinstance(one, Unavailable)]

    assert 0 < len(refused) < MANY
    assert (await replica.count()).total == MANY - len(refused)

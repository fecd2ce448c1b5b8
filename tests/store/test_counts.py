"""Counts of many courses with many chapters: exact, and in steps so short that nobody is held up."""

from __future__ import annotations

import asyncio

from presence_svc.store.counts import count_call
from tests.store.replica import Replica


async def test_a_step_is_bounded_by_chapters(replica: Replica) -> None:
    """S4: 30 courses of 300 chapters are counted in several calls, all in the order asked and exact."""
    courses = [f"c{n}" for n in range(30)]
    beats = [
        replica.beat(f"v{c}", course=course, chapter=f"ch-{c}") for c in range(300) for course in courses
    ]
    await asyncio.gather(*beats)

    (reply,) = await replica.link.pipeline([count_call(replica.keys, courses)])
    counts = await replica.presence.counts(courses)

    assert len(reply) < 1 + 30 * (4 + 2 * 300)
    assert [count.course_id for count in counts] == courses
    assert {count.total for count in counts} == {300}
    assert {len(count.chapters) for count in counts} == {300}


async def test_totals_count_no_chapters(replica: Replica) -> None:
    """Statistics over courses of many chapters cost two ZCOUNTs each, and no script at all."""
    beats = [replica.beat(f"v{c}", course=f"c{n}", chapter=f"ch-{c}") for c in range(100) for n in range(20)]
    await asyncio.gather(*beats)
    await replica.redis.config_resetstat()

    found = await replica.totals.stats()
    called = await replica.redis.info("commandstats")

    assert (found.total, found.courses) == (2_000, 20)
    assert not {name for name in called if name.startswith("cmdstat_eval")}
    assert called["cmdstat_zcount"]["calls"] == 2 * 20

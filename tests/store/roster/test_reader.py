"""A walk through a roster while its viewers beat, hide, come and go: a property over random histories."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from presence_svc.store.redis.url import connect
from tests.store.replica import Replica

PAGES = 200
Act = tuple[str, str, int]
STAY = [f"v{n:02}" for n in range(12)]
DONE = ("beat", "hide", "leave", "join", "ghost")
ACTS = st.tuples(st.sampled_from(DONE), st.sampled_from(STAY), st.integers(0, 9))
# Between two pages no time can be made to pass: a cursor holds moments of Redis's own clock.
EARLIER = st.tuples(st.sampled_from(("pass", *DONE)), st.sampled_from(STAY), st.integers(0, 9))


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    limit=st.integers(1, 5),
    before=st.lists(EARLIER, max_size=25),
    between=st.lists(st.lists(ACTS, max_size=4), max_size=12),
    chapter=st.sampled_from(["", "ch-1"]),
)
def test_a_walk_misses_nobody_who_stays(
    redis_url: str, limit: int, before: list[Act], between: list[list[Act]], chapter: str
) -> None:
    """Paging while viewers beat, hide, come and go: who is named and there throughout is seen, for sure;
    twice only if heard from meanwhile."""
    with asyncio.Runner() as runner:
        runner.run(_check_walk(redis_url, limit, before, between, chapter))


async def _check_walk(
    url: str, limit: int, before: list[Act], between: list[list[Act]], chapter: str
) -> None:
    redis = connect(url, timeout_s=10)
    replica = Replica(redis)
    await redis.flushall()
    try:
        for viewer in STAY:
            await replica.beat(viewer, chapter="ch-1")
        touched: set[str] = set()
        for act in before:
            await _do(replica, act)
        staying, seen, cursor = await _named(replica, chapter), list[str](), None
        for page_number in range(PAGES):
            page = await replica.page(limit=limit, cursor=cursor, chapter_id=chapter)
            seen += [viewer.viewer_id for viewer in page.viewers]
            cursor = page.next_cursor
            if cursor is None:
                break
            for act in between[page_number] if page_number < len(between) else []:
                touched |= {act[1], f"{act[1]}-{act[2]}"}
                await _do(replica, act)
                staying &= await _named(replica, chapter)
        assert cursor is None, "the walk does not end"
        assert staying <= set(seen), "a viewer who stayed was left out"
        twice = {viewer for viewer in seen if seen.count(viewer) > 1}
        assert twice <= touched, "a viewer who said nothing was shown twice"
    finally:
        await redis.aclose()


async def _do(replica: Replica, act: Act) -> None:
    verb, viewer, number = act
    if verb == "pass":
        await replica.pass_time(number * 4_000)
    elif verb == "leave":
        for session in ("main", "s0", "s1", "s2"):
            await replica.leave(viewer, session)
    else:
        await replica.beat(
            f"{viewer}-{number}" if verb == "join" else viewer,
            f"s{number % 3}" if verb == "hide" else "main",
            chapter="ch-1" if number else "ch-2",
            hidden=verb == "hide",
            anonymous=verb == "ghost",
        )


async def _named(replica: Replica, chapter: str) -> set[str]:
    """Who is there by name, straight from the raw keys."""
    found: set[str] = set()
    now = await replica.now()
    keys = replica.keys.course("c1")
    everybody: list[Any] = await replica.redis.zrangebyscore(keys.viewers, f"({now}", "+inf")
    hidden = set(await replica.redis.zrangebyscore(keys.anonymous, f"({now}", "+inf"))
    place = await replica.redis.hget(keys.chapters, chapter) if chapter else None
    for member in everybody:
        if member in hidden:
            continue
        viewer = member.decode()
        if chapter:
            score = await replica.redis.zscore(keys.places, f"{int(place or 0)} {viewer}")
            if score is None or score % 2**42 <= now:
                continue
        found.add(viewer)
    return found

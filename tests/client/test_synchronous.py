"""Every call of the service by either client, against a real one: what comes back is typed by its models."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from presence_svc.client import (
    Count,
    CourseHeartbeat,
    ExportedRow,
    HeartbeatReply,
    PresenceClient,
    Problem,
    ProblemError,
    Stats,
    Unreachable,
)
from tests.client.conftest import KEY, QUARTER, SECRET, Caller
from tests.rig import Service, free_port


def token_of(viewer_id: str) -> str:
    """What an issuer would have signed for them."""
    ends = datetime.now(UTC) + timedelta(minutes=5)
    claims = {"sub": viewer_id, "exp": int(ends.timestamp())}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


async def found_in_stats(caller: Caller, course: str) -> Stats:
    """One list of all courses is shared for a while: asks until it has come."""
    for _ in range(200):
        stats: Stats = await caller.do("stats", search=course, limit=5)
        if stats.page:
            break
        await asyncio.sleep(0.1)
    return stats


async def test_a_session_comes_and_goes(caller: Caller, service: Service, course: str) -> None:
    """S5: heartbeat, count, leave; the reply is the service's own model."""
    caller.at(service.url, api_key=KEY)

    reply = await caller.do("heartbeat", course, viewer_id="u1", chapter_id="ch-1", name="Ada", seq=1)
    count = await caller.do("count", course)
    await caller.do("leave", course, viewer_id="u1", seq=2)

    assert isinstance(reply, HeartbeatReply)
    assert (reply.viewer_id, reply.total) == ("u1", 1)
    assert isinstance(count, Count)
    assert count.chapters == {"ch-1": 1}
    assert (await caller.do("count", course)).total == 0


async def test_a_batch_is_as_long_as_it_is(caller: Caller, service: Service, course: str) -> None:
    """More than one call takes is several: a reply or a problem for each, in the order given."""
    caller.at(service.url, api_key=KEY, deadline_s=30)
    batch = [CourseHeartbeat(course_id=course, viewer_id=f"u{number}") for number in range(1_001)]
    wrong = CourseHeartbeat.model_construct(course_id="a}b", viewer_id="u")
    wrong.__pydantic_fields_set__ |= {"course_id", "viewer_id"}

    results = await caller.do("heartbeats", [*batch, wrong])

    assert [result.viewer_id for result in results[:-1]] == [f"u{number}" for number in range(1_001)]
    assert isinstance(results[-1], Problem)
    assert results[-1].status == 422
    assert (await caller.do("count", course)).total == 1_001


async def test_counts_come_in_the_order_asked(caller: Caller, service: Service, course: str) -> None:
    """Also of more courses than one call takes."""
    caller.at(service.url, api_key=KEY, deadline_s=30)
    await caller.do("heartbeat", course, viewer_id="u1")
    asked = [f"{course}-{number}" for number in range(600)] + [course]

    found = await caller.do("counts", asked)

    assert [count.course_id for count in found] == asked
    assert [count.total for count in found[-2:]] == [0, 1]


async def test_the_roster_by_pages_and_as_a_whole(caller: Caller, service: Service, course: str) -> None:
    """A page is a Roster; the iterator follows its cursors to the end and names each viewer once."""
    caller.at(service.url, api_key=KEY, deadline_s=30)
    people = {f"u{number}" for number in range(230)}
    await caller.do(
        "heartbeats", [CourseHeartbeat(course_id=course, viewer_id=one, chapter_id="ch-1") for one in people]
    )
    await caller.do("heartbeat", course, viewer_id="elsewhere", chapter_id="ch-2")

    page = await caller.do("viewers", course, limit=7)
    everybody = await caller.all("all_viewers", course)
    in_chapter = await caller.all("all_viewers", course, chapter_id="ch-1")

    assert (len(page.viewers), page.total) == (7, 231)
    assert page.next_cursor
    assert sorted(viewer.viewer_id for viewer in everybody) == sorted(people | {"elsewhere"})
    assert {viewer.viewer_id for viewer in in_chapter} == people


async def test_who_is_evicted_stays_out(caller: Caller, service: Service, course: str) -> None:
    """The ban is in seconds; without one the viewer may come back at once."""
    caller.at(service.url, api_key=KEY)
    await caller.do("heartbeat", course, viewer_id="u1")

    await caller.do("heartbeat", course, viewer_id="u2")
    assert (await caller.do("count", course)).total == 2

    await caller.do("evict", course, "u1", ban_s=60)
    await caller.do("evict", course, "u2", ban_s=0)
    for viewer in ("u1", "u2"):
        await caller.do("heartbeat", course, viewer_id=viewer, session_id="another")

    assert [one.viewer_id for one in (await caller.do("viewers", course)).viewers] == ["u2"]


async def test_what_was_and_what_is_everywhere(caller: Caller, service: Service, course: str) -> None:
    """History by a datetime or by ms, calendar, heatmap and stats, each by its model."""
    caller.at(service.url, api_key=KEY)
    await caller.do("heartbeat", course, viewer_id="u1")
    now = datetime.now(UTC)

    past = await caller.do("history", course, step="1m", begin=now - timedelta(minutes=3), tz="Asia/Kolkata")
    same = await caller.do("history", course, step="1m", begin=past.from_)
    calendar = await caller.do("calendar", course, weeks=1, tz="Europe/Berlin")
    heat = await caller.do("heatmap", course, begin=now - timedelta(hours=1))
    stats = await found_in_stats(caller, course)

    assert (past.step, past.tz, len(past.t)) == ("1m", "Asia/Kolkata", len(past.peak))
    assert same.t[0] == past.t[0]
    assert len(calendar.peak) == 7
    assert heat.course_id == course
    assert stats.total >= 1
    assert [one.course_id for one in stats.page or ()] == [course]


async def test_what_was_closed_comes_by_pages(caller: Caller, export_service: Service, closed: int) -> None:
    """Typed rows and a cursor: what it is given again comes again, and nothing is left out."""
    caller.at(export_service.url, api_key=KEY)

    first = await caller.do("export", limit=1)
    rest = await caller.do("export", cursor=first.cursor)
    nothing = await caller.do("export", cursor=rest.cursor)

    assert [(row.course_id, row.peak, row.viewer_minutes) for row in first.rows] == [("exported", 5, 75.0)]
    assert [(row.chapter_id, row.peak, row.partial) for row in rest.rows] == [
        (None, 2, True),
        ("ch-1", 1, False),
        (None, 7, False),
    ]
    assert [row.t for row in first.rows + rest.rows] == [(closed + later) * QUARTER for later in (0, 1, 1, 2)]
    assert (nothing.rows, bool(nothing.cursor)) == ([], True)


async def test_all_rows_each_with_where_to_go_on(
    caller: Caller, export_service: Service, closed: int
) -> None:
    """Whoever stops after any row and goes on from its cursor gets every row; at the end nothing is new."""
    caller.at(export_service.url, api_key=KEY)

    rows: list[ExportedRow] = await caller.all("all_exported")

    assert len(rows) == 4
    for n, row in enumerate(rows):
        again = await caller.all("all_exported", cursor=row.cursor)
        assert {one.key for one in rows[n + 1 :]} <= {one.key for one in again}
    assert again == []
    with pytest.raises(ProblemError) as refused:
        await caller.all("all_exported", cursor="no cursor")
    assert refused.value.status == 422


async def test_a_viewers_token_may_be_made_anew(caller: Caller, service: Service, course: str) -> None:
    """A function is asked for each call; whoever the token names is who is counted."""
    people = iter(["ada", "bob"])
    caller.at(service.url, token=lambda: token_of(next(people)))

    first = await caller.do("heartbeat", course)
    second = await caller.do("heartbeat", course)

    assert (first.viewer_id, second.viewer_id, second.total) == ("ada", "bob", 2)


async def test_refusals_are_the_services_problems(caller: Caller, service: Service, course: str) -> None:
    """Status, detail and each wrong field by its pointer."""
    caller.at(service.url, api_key=KEY)

    with pytest.raises(ProblemError) as refused:
        await caller.do("history", course, tz="Nowhere/Land")

    assert refused.value.status == 422
    assert [pointer for pointer, _ in refused.value.errors] == ["/tz"]
    assert "422" in str(refused.value)


async def test_a_wrong_key_is_told_and_not_shown(caller: Caller, service: Service, course: str) -> None:
    """401 or 403; no message of ours holds the key."""
    caller.at(service.url, api_key="not-the-key-of-this-service")

    with pytest.raises(ProblemError) as refused:
        await caller.do("stats")

    assert refused.value.status in (401, 403)
    assert "not-the-key" not in repr(refused.value) + str(refused.value)


async def test_nobody_there_is_unreachable(caller: Caller) -> None:
    """A closed port is no problem of the service's, and raises within the deadline."""
    caller.at(f"http://127.0.0.1:{free_port()}", deadline_s=5)

    with pytest.raises(Unreachable):
        await caller.do("count", "c1")


@pytest.mark.parametrize("dots", [".", "..", "...", "a.b", "a:b@c|d~e=f+g"])
async def test_every_id_is_a_part_of_the_path(caller: Caller, service: Service, dots: str) -> None:
    """A course may be called `..`: it is counted under its name, and nothing else is reached."""
    caller.at(service.url, api_key=KEY)

    reply = await caller.do("heartbeat", dots, viewer_id=f"{caller.kind}{len(dots)}")

    assert reply.course_id == dots
    assert (await caller.do("count", dots)).course_id == dots


async def test_what_can_be_no_id_is_not_sent(caller: Caller) -> None:
    """ValueError, before a connection is made."""
    caller.at("http://127.0.0.1:1")

    for call, args, fields in (
        ("heartbeat", ("a}b",), {"viewer_id": "u"}),
        ("heartbeat", ("c1",), {"viewer_id": "u", "chapter": "misspelt"}),
        ("count", ("a/b",), {}),
        ("counts", (["c1", ""],), {}),
        ("evict", ("c1", ""), {}),
        ("history", ("c1",), {"begin": datetime(2026, 1, 1)}),
    ):
        with pytest.raises(ValueError, match=r"."):
            await caller.do(call, *args, **fields)


def test_a_client_ends_with_its_block(service: Service) -> None:
    """Its connections are closed; it tells its address and no key."""
    with PresenceClient(service.url, api_key=KEY) as presence:
        presence.stats()
        assert repr(presence) == f"PresenceClient({service.url!r})"

    with pytest.raises(RuntimeError):
        presence.stats()

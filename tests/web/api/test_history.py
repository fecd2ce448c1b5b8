"""The history routes of a running service: what they answer and what they refuse."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from redis import Redis

from presence_svc.settings import load
from presence_svc.store.keys import Keys
from tests.cluster_rig import CLUSTER, Cluster
from tests.rig import VALKEY, Service, real_server

DAY, HOUR, QUARTER = 86_400_000, 3_600_000, 900_000
NOW = time.time_ns() // 1_000_000
TODAY = NOW // DAY


def write(run: Callable[..., object], keys: Keys) -> None:
    """Ten days ago a busy quarter in ch-1, yesterday a torn one; history began 20 days ago and has a gap.

    `run` sends a command, whose second word is its key, to where that is.
    """
    busy, torn = (TODAY - 10) * DAY + 10 * HOUR, (TODAY - 1) * DAY + 12 * HOUR
    partition, gap = keys.partition_of("c1"), (TODAY - 5) * DAY
    for each in keys.partitions:
        run("HSET", each.heard, "first", (TODAY - 20) * DAY, "last", NOW)
    run("RPUSH", partition.gaps, f"{gap + HOUR} {gap + 2 * HOUR + 60_000}")
    run("HSET", keys.numbers("c1"), "ch-1", 1)
    for at, value in ((busy, "7 5400000"), (torn, "3 900000!")):
        day, quarter = divmod(at // QUARTER, 96)
        run("HSET", keys.quarters("c1", day), quarter, value, f"{quarter}.1", value)
        slots = (day % 365, value, f"{day % 365}.1", value, f"{day % 365}.u", 5)
        run("HSET", keys.days("c1", day // 365), *slots)
        run("APPEND", keys.closed(at // QUARTER + 1, partition), f"c1 {at // QUARTER} 310\n")
    run("SET", keys.minutes("c1", NOW // HOUR - 2), "5 2 90000\n5 1 60000 1\n6 3 180000\n")
    run("ZADD", partition.seen, NOW, "c1")
    run("ZADD", keys.partition_of("Old.Course").seen, NOW - DAY, "Old.Course")


@pytest.fixture(scope="module", params=[VALKEY, CLUSTER])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of one server, and of a Cluster (S15), with that past."""
    if request.param == CLUSTER:
        servers: Cluster = request.getfixturevalue("shared_cluster")
        servers.empty()
        write(lambda *words: servers.execute(servers.owner_of(words[1]), *words), keys_at(servers.url))
        yield servers.url
        return
    with real_server(VALKEY) as made, Redis.from_url(made.url) as redis:
        write(redis.execute_command, keys_at(made.url))
        yield made.url


def keys_at(url: str) -> Keys:
    return Keys.of(load(redis_url=url))


@pytest.fixture(scope="module")
def api(url: str) -> Iterator[httpx2.Client]:
    env = {"PRESENCE_REDIS_URL": url}
    with Service(env) as service, httpx2.Client(base_url=service.url, timeout=10) as client:
        yield client


def test_quarters_are_what_was_written(api: httpx2.Client) -> None:
    """S13: peak, average and viewer minutes; an empty quarter is 0, what nobody heard is null."""
    at = (TODAY - 10) * DAY + 10 * HOUR
    found = api.get("/v1/courses/c1/history", params={"from": at - QUARTER, "to": at + QUARTER}).json()
    gap = (TODAY - 5) * DAY + HOUR
    unheard = api.get("/v1/courses/c1/history", params={"from": gap - QUARTER, "to": gap + 2 * HOUR}).json()

    assert found["t"] == [at - QUARTER, at]
    assert (found["peak"], found["average"], found["viewer_minutes"]) == ([0, 7], [0.0, 6.0], [0.0, 90.0])
    assert found["partial"] == [False, False]
    assert unheard["peak"] == [0, None, None, None, None, None, 0, 0, 0]
    assert unheard["partial"] == [False, True, True, True, True, True, False, False, False]


def test_a_torn_quarter_is_partial(api: httpx2.Client) -> None:
    """S13: the numbers are the least that there was, and say so; also in the hour and the day around it."""
    at = (TODAY - 1) * DAY + 12 * HOUR
    for step in ("15m", "1h", "1d"):
        found = api.get("/v1/courses/c1/history", params={"from": at, "to": at + 1, "step": step}).json()
        assert (found["peak"], found["partial"]) == ([3], [True]), step


def test_minutes_hours_and_days(api: httpx2.Client) -> None:
    """The same time by other steps; a chapter has its own."""
    hour = (NOW // HOUR - 2) * HOUR
    minutes = api.get(
        "/v1/courses/c1/history", params={"step": "1m", "from": hour + 300_000, "to": hour + 420_000}
    ).json()
    chapter = api.get(
        "/v1/courses/c1/history",
        params={"step": "1m", "from": hour + 300_000, "to": hour + 420_000, "chapter_id": "ch-1"},
    ).json()
    day = (TODAY - 10) * DAY
    days = api.get("/v1/courses/c1/history", params={"step": "1d", "from": day - DAY, "to": day + DAY}).json()

    assert (minutes["peak"], minutes["average"]) == ([2, 3], [1.5, 3.0])
    assert (chapter["chapter_id"], chapter["peak"], chapter["viewer_minutes"]) == ("ch-1", [1, 0], [1.0, 0.0])
    assert (days["peak"], days["viewer_minutes"], days["unique"]) == ([0, 7], [0.0, 90.0], [0, 5])
    assert days["unique_approximate"] is True


def test_before_history_began_nothing_is_known(api: httpx2.Client) -> None:
    """S13: never a 0 where nobody listened; an unknown course or chapter was simply empty since."""
    old = api.get(
        "/v1/courses/c1/history", params={"step": "1d", "from": (TODAY - 25) * DAY, "to": (TODAY - 22) * DAY}
    ).json()
    other = api.get(
        "/v1/courses/nobody/history", params={"from": (TODAY - 3) * DAY, "to": (TODAY - 3) * DAY + QUARTER}
    ).json()

    assert (old["peak"], old["average"], old["partial"]) == ([None] * 3, [None] * 3, [True] * 3)
    assert (other["peak"], other["partial"]) == ([0], [False])


def test_iso_times_and_zones(api: httpx2.Client) -> None:
    """ISO 8601 with an offset, in the zone without one; hours of +05:45 begin at a quarter past of UTC's."""
    at = (TODAY - 10) * DAY + 10 * HOUR
    iso = datetime.fromtimestamp(at / 1000, UTC).isoformat()
    by_offset = api.get("/v1/courses/c1/history", params={"from": iso, "to": at + QUARTER}).json()
    wall = datetime.fromtimestamp(at / 1000, ZoneInfo("Asia/Kathmandu"))
    nepal = api.get(
        "/v1/courses/c1/history",
        params={
            "from": wall.replace(tzinfo=None).isoformat(),
            "to": at + QUARTER,
            "tz": "Asia/Kathmandu",
            "step": "1h",
        },
    ).json()

    assert by_offset["t"] == [at]
    assert nepal["t"] == [at - 45 * 60_000]
    assert nepal["t"][0] % HOUR == QUARTER
    assert max(nepal["peak"]) == 7


def test_an_etag_saves_the_body(api: httpx2.Client) -> None:
    """RFC 9110: the same range of the past is answered with 304."""
    params = {"from": (TODAY - 10) * DAY, "to": (TODAY - 9) * DAY}
    first = api.get("/v1/courses/c1/history", params=params)
    again = api.get("/v1/courses/c1/history", params=params, headers={"if-none-match": first.headers["etag"]})

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_csv_has_the_same_columns(api: httpx2.Client) -> None:
    """A line per step, unknown values empty, times on the wall in front."""
    params: dict[str, Any] = {"from": (TODAY - 5) * DAY, "to": (TODAY - 5) * DAY + 2 * HOUR, "format": "csv"}
    reply = api.get("/v1/courses/c1/history", params=params)
    rows = list(csv.DictReader(io.StringIO(reply.text)))

    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.headers["content-disposition"].startswith("attachment")
    assert list(rows[0]) == ["time", "t", "peak", "average", "viewer_minutes", "unique", "partial"]
    assert [row["peak"] for row in rows] == ["0", "0", "0", "0", "", "", "", ""]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("step=2m", "/step"),
        ("from=yesterday", "/from"),
        ("to=2026-13-01", "/to"),
        ("from=99999999999999999", "/from"),
        ("from=2000&to=1000", "/from"),
        ("tz=Mars/Olympus", "/tz"),
        ("tz=../../etc/passwd", "/tz"),
        ("tz=Europe", "/tz"),
        ("tz=localtime", "/tz"),
        ("tz=posixrules", "/tz"),
        ("tz=right/UTC", "/tz"),
        ("tz=posix/Europe/Berlin", "/tz"),
        ("format=xml", "/format"),
        ("chapter_id=a%20b", "/chapter_id"),
        ("step=1m&from=0", "/from"),
    ],
)
def test_a_wrong_field_is_named(api: httpx2.Client, query: str, field: str) -> None:
    """422 with a pointer to the field."""
    reply = api.get(f"/v1/courses/c1/history?{query}")

    assert reply.status_code == 422
    assert [error["pointer"] for error in reply.json()["errors"]] == [field]


def test_ten_thousand_steps_and_no_more(api: httpx2.Client) -> None:
    """The longest range that is answered, and one step more."""
    end = NOW - NOW % QUARTER
    longest = api.get("/v1/courses/c1/history", params={"from": end - 10_000 * QUARTER, "to": end})
    longer = api.get("/v1/courses/c1/history", params={"from": end - 10_001 * QUARTER, "to": end})

    assert (longest.status_code, longer.status_code) == (200, 422)
    assert len(longest.json()["t"]) == 10_000


def test_the_calendar_is_by_the_clock_on_the_wall(api: httpx2.Client) -> None:
    """The busy quarter stands in its weekday and hour, of UTC and of Kolkata, half an hour off."""
    at = (TODAY - 10) * DAY + 10 * HOUR
    for name in ("UTC", "Asia/Kolkata"):
        found = api.get("/v1/courses/c1/history/calendar", params={"weeks": 2, "tz": name}).json()
        there = datetime.fromtimestamp(at / 1000, ZoneInfo(name))
        assert [len(row) for row in found["peak"]] == [24] * 7
        assert found["peak"][there.weekday()][there.hour] == 7
        assert sum(peak == 7 for row in found["peak"] for peak in row) == 1


def test_the_heatmap_has_chapters_by_quarters(api: httpx2.Client) -> None:
    """A chapter's quarters, and nothing of chapters that were empty then."""
    at = (TODAY - 10) * DAY + 10 * HOUR
    found = api.get("/v1/courses/c1/history/heatmap", params={"from": at, "to": at + HOUR}).json()
    empty = api.get("/v1/courses/c1/history/heatmap", params={"from": at + HOUR, "to": at + 2 * HOUR}).json()

    assert found["t"] == [at + n * QUARTER for n in range(4)]
    assert found["chapters"] == [
        {
            "chapter_id": "ch-1",
            "viewer_minutes": 90.0,
            "peak": [7, 0, 0, 0],
            "average": [6.0, 0.0, 0.0, 0.0],
        }
    ]
    assert empty["chapters"] == []


def test_the_heatmap_is_bounded(api: httpx2.Client) -> None:
    """28 days of quarters at most."""
    reply = api.get("/v1/courses/c1/history/heatmap", params={"from": NOW - 29 * DAY})

    assert reply.status_code == 422


def test_the_export_follows_its_cursor(api: httpx2.Client) -> None:
    """At least once, in order of closing; the same cursor gives the same rows again."""
    whole = api.get("/v1/history/export")
    first = api.get("/v1/history/export", params={"limit": 1})
    rest = api.get("/v1/history/export", params={"cursor": first.headers["presence-cursor"]})
    nothing = api.get("/v1/history/export", params={"cursor": whole.headers["presence-cursor"]})

    rows = whole.text.splitlines()
    assert len(rows) == 4
    assert first.text.splitlines() + rest.text.splitlines() == rows
    assert (nothing.status_code, nothing.content) == (200, b"")
    assert api.get("/v1/history/export").text == whole.text
    assert nothing.headers["presence-cursor"] == whole.headers["presence-cursor"]


def test_the_export_as_csv(api: httpx2.Client) -> None:
    """The same rows for a COPY."""
    rows = list(csv.DictReader(io.StringIO(api.get("/v1/history/export?format=csv").text)))

    assert [(row["chapter_id"], row["peak"], row["partial"]) for row in rows] == [
        ("", "7", "false"),
        ("ch-1", "7", "false"),
        ("", "3", "true"),
        ("ch-1", "3", "true"),
    ]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "MS4x=", "OTk5OTk5OTk5OTk5OTk5LjE"])
def test_a_foreign_cursor_is_refused(api: httpx2.Client, cursor: str) -> None:
    """422, not a 500."""
    assert api.get(f"/v1/history/export?cursor={cursor}").status_code in (200, 422)
    assert api.get(f"/v1/stats?cursor={cursor}").status_code == 422


def test_the_search_finds_courses_of_the_past(api: httpx2.Client, url: str) -> None:
    """The busiest first, then those with a history; by a part of the id in any case, page by page."""
    for viewer, course in (("a", "c2"), ("b", "c2"), ("a", "c3")):
        api.post(f"/v1/courses/{course}/heartbeat", json={"viewer_id": viewer}).raise_for_status()
    time.sleep(1.1)  # a reading is shared for a second
    page = api.get("/v1/stats", params={"limit": 3}).json()
    rest = api.get("/v1/stats", params={"limit": 3, "cursor": page["next_cursor"]}).json()
    found = api.get("/v1/stats", params={"q": "old.c"}).json()

    assert [(one["course_id"], one["total"]) for one in page["page"]] == [
        ("c2", 2),
        ("c3", 1),
        ("Old.Course", 0),
    ]
    assert ([one["course_id"] for one in rest["page"]], rest["next_cursor"]) == (["c1"], None)
    assert [one["course_id"] for one in found["page"]] == ["Old.Course"]
    assert page["total"] == 3
    if keys_at(url).is_partitioned:  # what was counted up to half a minute ago
        assert (page["exact"], page["bound_s"]) == (False, 60)
    else:
        assert (page["people"], page["exact"]) == (2, True)


def test_off_is_not_found(url: str) -> None:
    """HISTORY=off: 404 that says so, and nothing is written."""
    with Service({"PRESENCE_REDIS_URL": url, "PRESENCE_HISTORY": "off"}) as service:
        reply = httpx2.get(f"{service.url}/v1/courses/c1/history")
        export = httpx2.get(f"{service.url}/v1/history/export")

    assert (reply.status_code, export.status_code) == (404, 404)
    assert "PRESENCE_HISTORY" in reply.json()["detail"]

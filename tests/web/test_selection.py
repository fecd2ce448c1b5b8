"""What a client asks to hear of: some chapters or none, many courses in a body, names that stay."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from joserfc import jwk, jwt

from tests.rig import Service
from tests.web.socket_client import SocketClient

SECRET = "a secret of thirty-two bytes, it is"
NONE: dict[str, int] = {}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as made:
        yield made


@pytest.fixture(scope="module", params=["false", "true"], ids=["closed", "public"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Service]:
    env = {
        "PRESENCE_AUTH": "jwt",
        "PRESENCE_JWT_SECRET": SECRET,
        "PRESENCE_JWT_COURSES_CLAIM": "courses",
        "PRESENCE_PUBLIC_COUNTS": request.param,
        "PRESENCE_SERVICE_KEYS": "a-service-key-of-the-tests",
    }
    with Service(env) as made:
        yield made


def beat(service: Service, course: str, viewer: str, **said: Any) -> None:
    reply = httpx2.post(
        f"{service.url}/v1/courses/{course}/heartbeat",
        json={"viewer_id": viewer, **said},
        headers={"Authorization": "Bearer a-service-key-of-the-tests"},
        timeout=10,
    )
    assert reply.status_code == 200, reply.text


class Events:
    """Reads a stream's events, one by one."""

    def __init__(self, reply: httpx2.Response) -> None:
        self._lines = reply.iter_lines()

    def next(self) -> tuple[str, dict[str, Any]]:
        kind = ""
        for line in self._lines:
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                return kind, json.loads(line[6:])
        raise AssertionError("the stream has ended")

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        while True:
            told, data = self.next()
            if told == kind and fields.items() <= data.items():
                return data


@contextmanager
def stream(
    service: Service, path: str, headers: dict[str, str] | None = None, body: Any = None
) -> Iterator[Events]:
    method = "GET" if body is None else "POST"
    with httpx2.stream(method, f"{service.url}{path}", headers=headers, json=body, timeout=10) as reply:
        assert reply.status_code == 200, reply.read()
        yield Events(reply)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", {"a": 1, "b": 1}),
        ("?chapters=all", {"a": 1, "b": 1}),
        ("?chapters=none", NONE),
        ("?chapters=a", {"a": 1}),
        ("?chapters=a,c&chapters=b", {"a": 1, "b": 1}),
    ],
)
def test_counts_tell_the_chapters_that_were_asked_for(
    service: Service, query: str, told: dict[str, int]
) -> None:
    """Of one course, of many, and on a stream; all of them unless something else is asked."""
    beat(service, "some", "ada", chapter_id="a")
    beat(service, "some", "bob", chapter_id="b")
    more = query.replace("?", "&")

    one = httpx2.get(f"{service.url}/v1/courses/some/count{query}").json()
    many = httpx2.get(f"{service.url}/v1/counts?course_id=some{more}").json()["counts"][0]
    with stream(service, f"/v1/courses/some/live{query}") as events:
        live = events.until("count")
    with stream(service, f"/v1/live?course_id=some{more}") as events:
        catalogue = events.until("count")

    assert [count["chapters"] for count in (one, many, live, catalogue)] == [told] * 4
    assert {count["total"] for count in (one, many, live, catalogue)} == {2}


@pytest.mark.parametrize(
    "query",
    [
        "chapters=",
        "chapters=a/b",
        "chapters=a,,b",
        "chapters=" + ",".join(["x"] * 101),
        "order=age",
        "viewers=21",
    ],
)
def test_wrong_wishes_are_named(service: Service, query: str) -> None:
    """422 with the field, before anything is opened."""
    reply = httpx2.get(f"{service.url}/v1/live?course_id=c1&{query}")

    assert reply.status_code == 422
    assert reply.json()["errors"][0]["pointer"].startswith("/" + query.split("=")[0])


def test_a_tag_without_chapters_outlives_their_changes(service: Service) -> None:
    """304 while nothing that was asked for has changed."""
    beat(service, "tag", "ada", chapter_id="a")
    url = f"{service.url}/v1/counts?course_id=tag&chapters=none"
    tag = httpx2.get(url).headers["etag"]
    beat(service, "tag", "ada", chapter_id="b")
    same = httpx2.get(url, headers={"if-none-match": tag})
    full = httpx2.get(f"{service.url}/v1/counts?course_id=tag").json()
    beat(service, "tag", "bob")

    assert same.status_code == 304
    assert full["counts"][0]["chapters"] == {"b": 1}
    assert httpx2.get(url, headers={"if-none-match": tag}).status_code == 200


def test_who_wants_no_chapters_hears_of_no_change_of_them(service: Service) -> None:
    """Twenty moves, then a join: the next frame is the join's."""
    beat(service, "moves", "ada")
    with stream(service, "/v1/courses/moves/live?chapters=none") as events:
        assert events.until("count", warming=True)["total"] == 1
        for n in range(20):
            beat(service, "moves", "ada", chapter_id=f"ch-{n}")
        beat(service, "moves", "bob")

        kind, data = events.next()

    assert (kind, data["total"], data["chapters"]) == ("count", 2, {})


def test_a_body_names_more_courses_than_a_query_can(service: Service) -> None:
    """500 ids of 128 characters: counts and a stream of all, told of a change in the last of them."""
    ids = [f"{n:03}" + "x" * 125 for n in range(500)]
    beat(service, ids[-1], "ada", name="Ada")

    counts = httpx2.post(
        f"{service.url}/v1/counts", json={"course_ids": ids, "chapters": "none"}, timeout=10
    ).json()["counts"]
    with stream(service, "/v1/live", body={"course_ids": ids, "viewers": 5, "chapters": "none"}) as events:
        first = {events.until("count")["course_id"] for _ in ids}
        names = events.until("viewers", course_id=ids[-1], total=1)["viewers"]
        beat(service, ids[-1], "bob", chapter_id="a")
        changed = events.until("count", total=2)

    assert [count["course_id"] for count in counts] == ids
    assert (counts[0]["total"], counts[-1]["total"]) == (0, 1)
    assert first == set(ids)
    assert [viewer["name"] for viewer in names] == ["Ada"]
    assert (changed["course_id"], changed["chapters"]) == (ids[-1], {})


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({}, "/course_ids"),
        ({"course_ids": []}, "/course_ids"),
        ({"course_ids": ["c"] * 501}, "/course_ids"),
        ({"course_ids": ["a/b"]}, "/course_ids/0"),
        ({"course_ids": ["c"], "chapters": "some"}, "/chapters"),
        ({"course_ids": ["c"], "chapters": [1]}, "/chapters"),
    ],
)
@pytest.mark.parametrize("path", ["counts", "live"])
def test_wrong_bodies_are_named(service: Service, path: str, said: dict[str, Any], pointer: str) -> None:
    """422 that names the field, on both routes."""
    reply = httpx2.post(f"{service.url}/v1/{path}", json=said)

    assert reply.status_code == 422
    assert reply.json()["errors"][0]["pointer"].startswith(pointer)


async def test_a_socket_wants_some_too(service: Service) -> None:
    """In the query, or in the join, which counts for more."""
    beat(service, "ws", "bob", chapter_id="b")
    async with SocketClient(
        service, "ws", query="?chapters=none", viewer_id="ada", chapter_id="a"
    ) as visitor:
        assert (await visitor.until("count", total=2))["chapters"] == {}
    async with SocketClient(
        service, "ws", query="?chapters=none", viewer_id="eve", chapters=["b"], viewers=3, order="joined"
    ) as visitor:
        assert (await visitor.until("count"))["chapters"] == {"b": 1}
        assert (await visitor.until("viewers"))["viewers"][0]["viewer_id"] == "bob"


def test_who_is_shown_stays_shown(service: Service) -> None:
    """order=joined: twelve beat by turns; of five who are shown only one who leaves is replaced."""
    for n in range(12):
        beat(service, "steady", f"v{n:02}")
        time.sleep(0.002)
    with stream(service, "/v1/courses/steady/live?viewers=5&order=joined") as events:
        first = [viewer["viewer_id"] for viewer in events.until("viewers")["viewers"]]
        for n in range(12):
            beat(service, "steady", f"v{n:02}", hidden=True)
        beat(service, "steady", "late")
        later = [viewer["viewer_id"] for viewer in events.until("viewers", total=13)["viewers"]]
        gone = first[2]
        httpx2.delete(f"{service.url}/v1/courses/steady/viewers/{gone}")
        last = [viewer["viewer_id"] for viewer in events.until("viewers", total=12)["viewers"]]

    assert len(first) == 5
    assert first == sorted(first) == later
    assert [viewer for viewer in last if viewer in first] == [viewer for viewer in first if viewer != gone]
    assert len(last) == 5


def test_the_named_are_told_under_a_crowd(service: Service) -> None:
    """S7: three named viewers under 2,000 anonymous ones, on page, stream and socket, at a bounded cost."""
    for name in ("ada", "bob", "cleo"):
        beat(service, "crowded", name, name=name.title())
    for start in range(0, 2_000, 500):
        crowd = [
            {"course_id": "crowded", "viewer_id": f"a{n}", "anonymous": True}
            for n in range(start, start + 500)
        ]
        reply = httpx2.post(f"{service.url}/v1/heartbeats", json={"heartbeats": crowd}, timeout=20)
        assert reply.status_code == 200
    before = exchanges(service)
    page = httpx2.get(f"{service.url}/v1/courses/crowded/viewers?limit=20").json()
    of_page = exchanges(service) - before
    told = []
    for query in ("viewers=5", "viewers=5&order=joined", "viewers=1"):
        with stream(service, f"/v1/courses/crowded/live?{query}") as events:
            told.append({viewer["name"] for viewer in events.until("viewers")["viewers"]})
    of_streams = exchanges(service) - before - of_page

    everybody = {"Ada", "Bob", "Cleo"}
    assert {viewer["name"] for viewer in page["viewers"]} == everybody
    assert (page["named"], page["anonymous"], page["next_cursor"]) == (3, 2_000, None)
    assert told[:2] == [everybody, everybody]
    assert len(told[2] & everybody) == 1
    assert of_page <= 12
    assert of_streams <= 50  # some of them the service's own, which goes on meanwhile


def exchanges(service: Service) -> int:
    """With Redis, up to now."""
    lines = httpx2.get(f"{service.url}/metrics", timeout=10).text.splitlines()
    return round(
        float(next(line.split()[1] for line in lines if line[:28] == "presence_redis_seconds_count"))
    )


def token(*courses: str) -> dict[str, str]:
    claims = {"sub": "ada", "exp": time.time() + 300, "courses": list(courses)}
    return {"Authorization": f"Bearer {jwt.encode({'alg': 'HS256'}, claims, jwk.OctKey.import_key(SECRET))}"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_course_that_is_shut_takes_no_names_from_others(guarded: Service, method: str) -> None:
    """Each course is judged for itself: names of the open one, and a word on the other and why."""
    is_public = httpx2.get(f"{guarded.url}/v1/courses/shut/count").status_code == 200
    beat(guarded, "open", "bob", name="Bob")
    beat(guarded, "shut", "eve", name="Eve")
    body = {"course_ids": ["shut", "open"], "viewers": 5} if method == "POST" else None
    path = "/v1/live" if body else "/v1/live?course_id=shut&course_id=open&viewers=5"

    with stream(guarded, path, token("open"), body) as events:
        kind, refused = events.next()
        names = events.until("viewers", course_id="open", total=1)["viewers"]

    assert (kind, refused["course_id"], refused["status"]) == ("refused", "shut", 403)
    assert refused["what"] == ("viewers" if is_public else "count")
    assert "access to this course" in refused["detail"]
    assert [viewer["name"] for viewer in names] == ["Bob"]


def test_names_of_nothing_but_shut_courses_are_refused(guarded: Service) -> None:
    """With nothing left of what was asked for the answer is the refusal itself."""
    reply = httpx2.get(f"{guarded.url}/v1/live?course_id=shut&viewers=5", headers=token("open"))

    assert reply.status_code == 403


PINGED = ["/v1/courses/quiet/live?ping=5", "/v1/live?course_id=quiet&ping=5", "/v1/live?ping=5"]


@pytest.mark.slow
@pytest.mark.parametrize("path", PINGED)
def test_a_stream_may_be_asked_for_comments(service: Service, path: str) -> None:
    """From 5 to 15 s apart, by GET and by POST; each says when the next one comes."""
    body = None if "quiet" in path else {"course_ids": ["quiet"]}
    method = "GET" if body is None else "POST"
    with httpx2.stream(method, f"{service.url}{path}", json=body, timeout=13) as reply:
        assert reply.status_code == 200
        line = next(line for line in reply.iter_lines() if line.startswith(":"))

    assert line == ": keep-alive 5"


@pytest.mark.parametrize("ping", ["4", "16", "7.5", "x", ""])
def test_comments_have_bounds(service: Service, ping: str) -> None:
    """422 names the parameter."""
    reply = httpx2.get(f"{service.url}/v1/courses/quiet/live?ping={ping}", timeout=10)

    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/ping")

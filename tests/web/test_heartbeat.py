"""`POST .../heartbeat` and `POST /v1/heartbeats` on a real server: what they take, answer and refuse."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.rig import Service

BEAT = "/v1/courses/c1/heartbeat"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service({"PRESENCE_SESSIONS_PER_VIEWER": "2", "PRESENCE_CHAPTERS_PER_COURSE": "2"}) as made:
        yield made


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=10) as made:
        yield made


def problem_of(reply: httpx2.Response, status: int) -> dict[str, Any]:
    """The reply's problem. Fails when it is not one, or not of this status."""
    body: dict[str, Any] = reply.json()
    assert reply.status_code == status, body
    assert reply.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert {"type", "title", "status", "detail"} <= set(body)
    return body


def test_the_reply_says_all(client: httpx2.Client) -> None:
    """Who, where, how many, until when, when next, and the token to leave with."""
    said = {"viewer_id": "ada", "session_id": "tab", "chapter_id": "ch-1", "name": "Ada", "seq": 1}
    reply = client.post("/v1/courses/says/heartbeat", json=said)
    body = reply.json()
    token, expires_at, pause_ms = (
        body.pop(name) for name in ("leave_token", "expires_at", "next_heartbeat_ms")
    )

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert body == {"course_id": "says", "viewer_id": "ada", "session_id": "tab", "total": 1}
    assert len(token) > 10
    assert expires_at > 1_600_000_000_000
    assert 24_000 <= pause_ms <= 27_000


def test_pauses_are_jittered(client: httpx2.Client) -> None:
    """A crowd never beats in step: 10 to 20 % less than the interval, rarely twice the same."""
    pauses = {client.post(BEAT, json={"viewer_id": "ada"}).json()["next_heartbeat_ms"] for _ in range(30)}

    assert len(pauses) > 20
    assert all(24_000 <= pause <= 27_000 for pause in pauses)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/viewer_id"),
        ({"viewer_id": ""}, "/viewer_id"),
        ({"viewer_id": "a b"}, "/viewer_id"),
        ({"viewer_id": "a}:x"}, "/viewer_id"),
        ({"viewer_id": "a\n"}, "/viewer_id"),
        ({"viewer_id": 7}, "/viewer_id"),
        ({"viewer_id": "x" * 129}, "/viewer_id"),
        ({"viewer_id": "a", "session_id": "s/1"}, "/session_id"),
        ({"viewer_id": "a", "chapter_id": "*"}, "/chapter_id"),
        ({"viewer_id": "a", "seq": -1}, "/seq"),
        ({"viewer_id": "a", "seq": 1.5}, "/seq"),
        ({"viewer_id": "a", "seq": "1"}, "/seq"),
        ({"viewer_id": "a", "seq": True}, "/seq"),
        ({"viewer_id": "a", "seq": 2**53}, "/seq"),
        ({"viewer_id": "a", "hidden": "yes"}, "/hidden"),
        ({"viewer_id": "a", "anonymous": 1}, "/anonymous"),
        ({"viewer_id": "a", "name": "x" * 81}, "/name"),
        ({"viewer_id": "a", "name": ["x"]}, "/name"),
        ({"viewer_id": "a", "avatar_url": "http://a.example/x"}, "/avatar_url"),
        ({"viewer_id": "a", "avatar_url": "javascript:alert(1)"}, "/avatar_url"),
        ({"viewer_id": "a", "avatar_url": "https://u:p@a.example/x"}, "/avatar_url"),
        ({"viewer_id": "a", "avatar_url": "https://a.example/" + "x" * 512}, "/avatar_url"),
        ([], ""),
        ("text", ""),
        (7, ""),
    ],
)
def test_a_wrong_field_is_pointed_at(client: httpx2.Client, body: Any, pointer: str) -> None:
    """422 with a JSON pointer to what is wrong, and nothing recorded."""
    before = client.get("/v1/courses/c1/count").json()["total"]
    found = problem_of(client.post(BEAT, json=body), 422)

    assert pointer in [error["pointer"] for error in found["errors"]]
    assert client.get("/v1/courses/c1/count").json()["total"] == before


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b'{"viewer_id": NaN}', b"[" * 4000, b'{"a":"\\ud8"}']
)
def test_what_is_not_json_is_refused(client: httpx2.Client, raw: bytes) -> None:
    """400, whatever the rubbish."""
    problem_of(client.post(BEAT, content=raw, headers={"content-type": "application/json"}), 400)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_another_encoding_is_told_so(client: httpx2.Client, encoding: str) -> None:
    """RFC 8259: UTF-8, and no mark before it. Whoever sends another sees the same text as in a good body."""
    raw = '{"viewer_id": "ada"}'.encode(encoding)

    found = problem_of(client.post(BEAT, content=raw, headers={"content-type": "application/json"}), 400)

    assert "UTF-8 without a byte order mark" in found["detail"]


def test_a_course_that_cannot_be_is_refused(client: httpx2.Client) -> None:
    """422 for an id with characters that no course may have, also when they are escaped."""
    for course in ("a%20b", "a%7Db", "%00", "x" * 129, "%C3%A4"):
        problem_of(client.post(f"/v1/courses/{course}/heartbeat", json={"viewer_id": "a"}), 422)


def test_media_types(client: httpx2.Client) -> None:
    """415 for what is not JSON by name; with a charset, or without a type, it is read."""
    raw = b'{"viewer_id": "media"}'
    problem_of(client.post(BEAT, content=raw, headers={"content-type": "text/plain"}), 415)

    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        assert client.post(BEAT, content=raw, headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize("path", [BEAT, "/v1/courses/c1/leave", "/v1/heartbeats", "/v1/counts", "/v1/live"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
def test_a_compressed_body_is_refused(client: httpx2.Client, path: str, coding: str) -> None:
    """415 that says which coding is taken: 400 would say that it is no JSON, and 200 that it was undone."""
    for raw in (gzip.compress(b'{"viewer_id": "packed"}'), b'{"viewer_id": "packed"}'):
        headers = {"content-type": "application/json", "content-encoding": coding}
        reply = client.post(path, content=raw, headers=headers)

        assert "Content-Encoding" in problem_of(reply, 415)["detail"]
        assert reply.headers["accept-encoding"] == "identity"

    headers = {"content-type": "application/json", "content-encoding": "Identity"}
    assert client.post(BEAT, content=b'{"viewer_id": "bare"}', headers=headers).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused(service: Service, chunked: bool) -> None:
    """413 over 8 KiB, announced or in chunks without an end, before it is parsed."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    body = b'{"viewer_id": "' + b"x" * 9_000 + b'"}'
    parts = iter([body[i : i + 1_000] for i in range(0, len(body), 1_000)])
    connection.request(
        "POST",
        BEAT,
        body=parts if chunked else body,
        headers={"Content-Type": "application/json"},
        encode_chunked=chunked,
    )
    reply = connection.getresponse()
    found = json.loads(reply.read())
    connection.close()

    assert (reply.status, found["status"]) == (413, 413)
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("what", ["session", "chapter"])
def test_a_limit_is_429(client: httpx2.Client, what: str) -> None:
    """One session or chapter too many: 429 with Retry-After."""
    url = f"/v1/courses/limit-{what}/heartbeat"
    replies = [
        client.post(
            url,
            json={
                "viewer_id": "a" if what == "session" else f"v{n}",
                "session_id": f"s{n}",
                "chapter_id": f"ch-{n}" if what == "chapter" else None,
            },
        )
        for n in range(3)
    ]
    found = problem_of(replies[2], 429)

    assert [reply.status_code for reply in replies[:2]] == [200, 200]
    assert int(replies[2].headers["retry-after"]) >= 1
    assert what in found["detail"]


def test_unknown_fields_are_ignored(client: httpx2.Client) -> None:
    """Clients may be newer than the service."""
    assert client.post(BEAT, json={"viewer_id": "new", "mood": "fine"}).status_code == 200


def test_a_batch_answers_each_in_order(client: httpx2.Client) -> None:
    """Good and bad heartbeats of any courses in one call: a result or a problem in each one's place."""
    items: list[Any] = [
        {"course_id": "b1", "viewer_id": "ada"},
        {"course_id": "b1"},
        {"course_id": "b}2", "viewer_id": "bob"},
        "rubbish",
        {"course_id": "b2", "viewer_id": "bob", "chapter_id": "ch-1"},
    ]
    results = client.post("/v1/heartbeats", json={"heartbeats": items}).json()["results"]
    pointers = [result["errors"][0]["pointer"] for result in results[1:4]]

    assert [result.get("viewer_id") for result in results] == ["ada", None, None, None, "bob"]
    assert pointers == ["/heartbeats/1/viewer_id", "/heartbeats/2/course_id", "/heartbeats/3"]
    assert client.get("/v1/courses/b2/count").json()["chapters"] == {"ch-1": 1}


def test_a_batch_said_again_is_told_the_same(client: httpx2.Client) -> None:
    """What is remembered of a call's items answers as they did when they were read; their seq grows."""
    wrong: list[Any] = [{"course_id": "a1"}, {"course_id": "a1", "viewer_id": "x", "seq": 2.5}, None]

    def told(seq: int) -> list[Any]:
        items = [{"course_id": "a1", "viewer_id": f"v{n}", "seq": seq} for n in range(3)]
        results = client.post("/v1/heartbeats", json={"heartbeats": [*items, *wrong]}).json()["results"]
        for result in results[:3]:
            assert 24_000 <= result.pop("next_heartbeat_ms") <= 27_000
            assert result.pop("expires_at") > 1_600_000_000_000
        return list(results)

    first = told(1)

    assert [result.get("status", 200) for result in first] == [200, 200, 200, 422, 422, 422]
    assert first == told(2) == told(3)
    assert client.get("/v1/courses/a1/count").json()["total"] == 3


def test_a_seq_in_a_batch_is_heard(client: httpx2.Client) -> None:
    """S6: a late heartbeat of a session changes nothing, also when its like is remembered."""

    def chapters(seq: int, chapter: str) -> dict[str, int]:
        item = {"course_id": "order", "viewer_id": "ada", "chapter_id": chapter, "seq": seq}
        client.post("/v1/heartbeats", json={"heartbeats": [item]})
        told: dict[str, int] = client.get("/v1/courses/order/count").json()["chapters"]
        return told

    assert chapters(5, "ch-1") == {"ch-1": 1}
    assert chapters(6, "ch-2") == {"ch-2": 1}
    assert chapters(5, "ch-1") == {"ch-2": 1}
    assert chapters(7, "ch-1") == {"ch-1": 1}


def test_a_limit_in_a_batch_is_told_in_its_place(client: httpx2.Client) -> None:
    """Two sessions of a viewer are recorded, the third is a problem, and the next viewer is recorded."""
    said = [("ada", "s1"), ("ada", "s2"), ("ada", "s3"), ("bob", "s1")]
    items = [{"course_id": "many", "viewer_id": viewer, "session_id": session} for viewer, session in said]

    for _ in range(2):
        results = client.post("/v1/heartbeats", json={"heartbeats": items}).json()["results"]
        assert [result.get("status", 200) for result in results] == [200, 200, 429, 200]
        assert "session" in results[2]["detail"]


def test_a_batch_over_the_queue_s_limit() -> None:
    """As many as have room are recorded, what is wrong takes no room, and the rest are told to come back."""
    items: list[Any] = [{"course_id": "q", "viewer_id": f"v{n}"} for n in range(5)]
    items.insert(1, {"course_id": "q"})

    with Service({"PRESENCE_QUEUE_LIMIT": "3"}) as narrow, httpx2.Client(base_url=narrow.url) as client:
        for _ in range(2):
            results = client.post("/v1/heartbeats", json={"heartbeats": items}).json()["results"]
            assert [result.get("status", 200) for result in results] == [200, 422, 200, 200, 503, 503]
            assert results[4]["type"] == "urn:presence:unavailable"
        assert client.get("/v1/courses/q/count").json()["total"] == 3


def test_the_largest_batch(client: httpx2.Client) -> None:
    """A thousand at once are all recorded; one more, none, or no list is refused."""
    items = [{"course_id": "big", "viewer_id": f"v{n}"} for n in range(1_000)]
    results = client.post("/v1/heartbeats", json={"heartbeats": items}).json()["results"]

    assert [result["viewer_id"] for result in results] == [item["viewer_id"] for item in items]
    assert client.get("/v1/courses/big/count").json()["total"] == 1_000
    too_many: list[Any] = [items + items[:1], [], None, {}]
    for wrong in too_many:
        problem_of(client.post("/v1/heartbeats", json={"heartbeats": wrong}), 422)

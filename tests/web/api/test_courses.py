"""The plain routes on a real server: leave, count, counts, viewers, evict, stats, and ways to miss them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.cluster_rig import CLUSTER, Cluster
from tests.rig import VALKEY, Service


@pytest.fixture(scope="module", params=[VALKEY, CLUSTER])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """On one server, and on a Cluster (S15)."""
    env = {}
    if request.param == CLUSTER:
        servers: Cluster = request.getfixturevalue("shared_cluster")
        servers.empty()
        env["PRESENCE_REDIS_URL"] = servers.url
    with Service(env) as made:
        yield made


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=10) as made:
        yield made


def beat(client: httpx2.Client, course: str, viewer: str, **said: Any) -> dict[str, Any]:
    reply = client.post(f"/v1/courses/{course}/heartbeat", json={"viewer_id": viewer, **said})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def total(client: httpx2.Client, course: str) -> int:
    return int(client.get(f"/v1/courses/{course}/count").json()["total"])


@pytest.mark.parametrize("media", ["application/json", "text/plain", "text/plain;charset=UTF-8"])
def test_leave_as_json_and_as_a_beacon(client: httpx2.Client, media: str) -> None:
    """S5: 204 without a body, and the viewer is gone."""
    course = f"leave-{len(media)}"
    beat(client, course, "ada")
    reply = client.post(
        f"/v1/courses/{course}/leave", content=b'{"viewer_id":"ada"}', headers={"content-type": media}
    )

    assert (reply.status_code, reply.content) == (204, b"")
    assert total(client, course) == 0


def test_a_leave_of_nobody(client: httpx2.Client) -> None:
    """204 also when nothing was there: a beacon cannot know."""
    assert client.post("/v1/courses/empty/leave", json={"viewer_id": "x"}).status_code == 204


def test_a_soft_leave_by_http(client: httpx2.Client) -> None:
    """S5: the viewer is still counted within the grace."""
    beat(client, "soft", "ada", seq=1)
    assert client.post("/v1/courses/soft/leave", json={"viewer_id": "ada", "soft": True}).status_code == 204

    assert total(client, "soft") == 1


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"{}", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'{"viewer_id":"a b"}', "text/plain", 422),
        (b'{"viewer_id":"a","soft":1}', "application/json", 422),
        (b"not json", "text/plain", 400),
        (b"", "application/json", 400),
        (b"{}", "application/xml", 415),
        (b'{"viewer_id":"' + b"x" * 9_000 + b'"}', "application/json", 413),
    ],
)
def test_wrong_leaves(client: httpx2.Client, content: bytes, media: str, status: int) -> None:
    """Each is a problem of its own status."""
    reply = client.post("/v1/courses/c1/leave", content=content, headers={"content-type": media})

    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == status


def test_count_says_all(client: httpx2.Client) -> None:
    """S1, S2, S7: the whole Count, and zeros for a course that nobody ever watched."""
    beat(client, "count", "ada", chapter_id="ch-1")
    beat(client, "count", "ghost", anonymous=True)
    found = client.get("/v1/courses/count/count").json()
    as_of, version = found.pop("as_of"), found.pop("version")
    nobody = client.get("/v1/courses/never/count").json()

    assert found == {
        "course_id": "count",
        "total": 2,
        "named": 1,
        "anonymous": 1,
        "chapters": {"ch-1": 1},
        "warming": True,
    }
    assert as_of >= version - 1_000 > 1_600_000_000_000
    assert (nobody["total"], nobody["chapters"]) == (0, {})


def test_counts_in_the_order_asked(client: httpx2.Client) -> None:
    """Also twice the same, and those that nobody watches."""
    beat(client, "n1", "ada")
    found = client.get("/v1/counts?course_id=n2&course_id=n1&course_id=n2").json()["counts"]

    assert [(count["course_id"], count["total"]) for count in found] == [("n2", 0), ("n1", 1), ("n2", 0)]


def test_counts_have_an_etag(client: httpx2.Client) -> None:
    """304 while nothing has changed but the clock, 200 with another tag after a change."""
    beat(client, "tag", "ada")
    url = "/v1/counts?course_id=tag"
    tag = client.get(url).headers["etag"]
    same = client.get(url, headers={"if-none-match": tag})
    listed = client.get(url, headers={"if-none-match": f'"other", {tag.removeprefix("W/")}'})
    beat(client, "tag", "bob")
    other = client.get(url, headers={"if-none-match": tag})

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert listed.status_code == 304
    assert (other.status_code, other.json()["counts"][0]["total"]) == (200, 2)
    assert other.headers["etag"] != tag


def test_viewers_by_pages(client: httpx2.Client) -> None:
    """Everybody by following `next_cursor`, each once; the anonymous only in numbers."""
    for n in range(7):
        beat(client, "pages", f"v{n}", name=f"Viewer {n}", chapter_id=f"ch-{n % 2}")
    beat(client, "pages", "ghost", anonymous=True)
    seen: list[str] = []
    url, pages = "/v1/courses/pages/viewers?limit=3", 0
    cursor = ""
    while pages == 0 or cursor:
        page = client.get(f"{url}&cursor={cursor}").json()
        seen += [viewer["viewer_id"] for viewer in page["viewers"]]
        cursor, pages = page["next_cursor"], pages + 1
        assert pages < 10
        assert (page["total"], page["named"], page["anonymous"]) == (8, 7, 1)
    chapter = client.get("/v1/courses/pages/viewers?chapter_id=ch-1").json()["viewers"]

    assert sorted(seen) == [f"v{n}" for n in range(7)]
    assert seen[0] == "v6"
    assert sorted(viewer["viewer_id"] for viewer in chapter) == ["v1", "v3", "v5"]
    assert chapter[0]["chapters"] == ["ch-1"]


def test_evict(client: httpx2.Client) -> None:
    """204, gone, and also 204 when nobody was there."""
    beat(client, "evict", "ada")
    replies = [client.delete("/v1/courses/evict/viewers/ada").status_code for _ in range(2)]

    assert replies == [204, 204]
    assert total(client, "evict") == 0


def test_stats(client: httpx2.Client) -> None:
    """The sum over courses, how many are active, and the busiest first."""
    for n in range(12):
        beat(client, "busiest-of-all", f"v{n}")
    found = client.get("/v1/stats").json()

    assert set(found) == {"total", "courses", "top", "as_of", "people", "exact", "bound_s", "warming"}
    assert found["people"] >= 12
    assert found["total"] >= sum(course["total"] for course in found["top"]) > 0
    assert found["top"] == sorted(found["top"], key=lambda course: -course["total"])


@pytest.mark.parametrize(
    ("url", "pointer"),
    [
        ("/v1/courses/a%20b/count", "/course_id"),
        ("/v1/counts", "/course_id"),
        ("/v1/counts?course_id=a&course_id=b%7D", "/course_id/1"),
        ("/v1/counts?" + "&".join(["course_id=a"] * 201), "/course_id"),
        ("/v1/courses/c1/viewers?limit=0", "/limit"),
        ("/v1/courses/c1/viewers?limit=101", "/limit"),
        ("/v1/courses/c1/viewers?limit=x", "/limit"),
        ("/v1/courses/c1/viewers?limit=%D9%A3", "/limit"),
        ("/v1/courses/c1/viewers?cursor=rubbish", "/cursor"),
        ("/v1/courses/c1/viewers?chapter_id=a%20b", "/chapter_id"),
        ("/v1/courses/c1/live?viewers=21", "/viewers"),
        ("/v1/courses/c1/live?viewers=-1", "/viewers"),
        ("/v1/live", "/course_id"),
        ("/v1/live?" + "&".join(f"course_id=c{n}" for n in range(101)), "/course_id"),
    ],
)
def test_a_wrong_question_is_pointed_at(client: httpx2.Client, url: str, pointer: str) -> None:
    """422 with a pointer, for streams too."""
    reply = client.get(url)

    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in reply.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/courses/c1", 404),
        ("GET", "/v1/courses/c1/nothing", 404),
        ("POST", "/v1/courses/a/b/heartbeat", 404),
        ("GET", "/v1/courses/c1/heartbeat", 405),
        ("GET", "/v1/courses/c1/leave", 405),
        ("POST", "/v1/courses/c1/count", 405),
        ("POST", "/v1/courses/c1/live", 405),
        ("PUT", "/v1/heartbeats", 405),
        ("POST", "/v1/stats", 405),
        ("GET", "/v1/courses/c1/viewers/ada", 405),
    ],
)
def test_what_is_not_there(client: httpx2.Client, method: str, path: str, status: int) -> None:
    """404 and 405 are problems too, the latter says what is allowed."""
    reply = client.request(method, path)
    found = reply.json()

    assert (reply.status_code, found["status"]) == (status, status)
    assert reply.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail"} <= set(found)
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(("query", "is_banned"), [("", True), ("?ban=30", True), ("?ban=0", False)])
def test_the_evicted_stay_out_for_as_long_as_asked(
    client: httpx2.Client, query: str, is_banned: bool
) -> None:
    """S5, S6: by default for a TTL; a new session of theirs is answered as one that has left."""
    course = f"ban-{len(query)}"
    beat(client, course, "ada", session_id="one")
    assert client.delete(f"/v1/courses/{course}/viewers/ada{query}").status_code == 204
    now = client.get(f"/v1/courses/{course}/count").json()["as_of"]
    reply = beat(client, course, "ada", session_id="two")

    assert total(client, course) == (0 if is_banned else 1)
    assert (reply["expires_at"] <= now + 1_000) == is_banned


@pytest.mark.parametrize("ban", ["-1", "2592001", "x", "1.5", ""])
def test_a_ban_has_bounds(client: httpx2.Client, ban: str) -> None:
    """422 names the field, and nobody is removed."""
    beat(client, "bounds", "ada")
    reply = client.delete(f"/v1/courses/bounds/viewers/ada?ban={ban}")

    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/ban")
    assert total(client, "bounds") == 1

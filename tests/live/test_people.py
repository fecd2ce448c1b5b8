"""S14 on a stream: `event: people` comes at once and at every change, for who may ask, on any replica."""

from __future__ import annotations

import httpx2
import orjson

from tests.conftest import SpawnService

KEY = "a-service-key-of-the-people"


def beat(url: str, viewer: str, course: str) -> None:
    httpx2.post(f"{url}/v1/courses/{course}/heartbeat", json={"viewer_id": viewer}).raise_for_status()


def test_people_are_told_as_they_come(spawn_service: SpawnService, redis_url: str) -> None:
    """Two replicas: who joins a second course on the other one changes nothing, who is new counts."""
    one, other = (spawn_service({"PRESENCE_REDIS_URL": redis_url}) for _ in range(2))
    beat(one.url, "ada", "c1")
    told = []

    with httpx2.stream("GET", f"{one.url}/v1/live?course_id=c1&people=1", timeout=10) as reply:
        kind = ""
        for line in reply.iter_lines():
            if line.startswith("event: "):
                kind = line
            elif line.startswith("data: ") and kind == "event: people":
                told.append(orjson.loads(line[6:]))
                if len(told) == 1:
                    beat(other.url, "ada", "c2")
                    beat(other.url, "bob", "c2")
                else:
                    break

    assert [(one["people"], one["exact"], one["bound_s"]) for one in told] == [
        (1, True, None),
        (2, True, None),
    ]
    assert told[0]["as_of"] < told[1]["as_of"]


def test_without_asking_nobody_is_told(spawn_service: SpawnService, redis_url: str) -> None:
    """A badge's stream has counts and no people."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    beat(service.url, "ada", "c1")

    with httpx2.stream("GET", f"{service.url}/v1/live?course_id=c1", timeout=10) as reply:
        lines = []
        for line in reply.iter_lines():
            lines.append(line)
            if line.startswith("data: "):
                break

    assert [line for line in lines if line.startswith("event: ")] == ["event: count"]


def test_off_and_unasked(spawn_service: SpawnService, redis_url: str) -> None:
    """PEOPLE=off: null in the totals, and no key; who may not see all courses may not ask for people."""
    off = spawn_service({"PRESENCE_REDIS_URL": redis_url, "PRESENCE_PEOPLE": "off"})
    beat(off.url, "ada", "c1")
    closed = spawn_service(
        {
            "PRESENCE_REDIS_URL": redis_url,
            "PRESENCE_AUTH": "jwt",
            "PRESENCE_JWT_SECRET": "s" * 32,
            "PRESENCE_PUBLIC_COUNTS": "true",
            "PRESENCE_SERVICE_KEYS": KEY,
        }
    )

    stats = httpx2.get(f"{off.url}/v1/stats").json()
    refused = httpx2.get(f"{closed.url}/v1/live?course_id=c1&people=1")

    assert (stats["people"], stats["total"]) == (None, 1)
    assert refused.status_code == 401

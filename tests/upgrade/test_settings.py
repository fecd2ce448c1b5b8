"""Replicas whose settings differ for a while: what docs/upgrading.md says of each that should be the same."""

from __future__ import annotations

import httpx2
import pytest

from tests.conftest import SpawnService
from tests.rig import wait_until

pytestmark = pytest.mark.timeout(60)


def beat(url: str, viewer: str, **more: object) -> dict[str, int]:
    body = {"viewer_id": viewer, **more}
    found: dict[str, int] = httpx2.post(f"{url}/v1/courses/c1/heartbeat", json=body).raise_for_status().json()
    return found


def as_of(url: str) -> int:
    now: int = httpx2.get(f"{url}/v1/courses/c1/count").json()["as_of"]
    return now


def test_each_lease_is_as_long_as_its_replica_says(spawn_service: SpawnService, redis_url: str) -> None:
    """S3: PRESENCE_TTL and PRESENCE_HIDDEN_TTL; all count the same viewers nevertheless."""
    short = {"PRESENCE_TTL": "40", "PRESENCE_HIDDEN_TTL": "80", "PRESENCE_HEARTBEAT_INTERVAL": "15"}
    one = spawn_service({"PRESENCE_REDIS_URL": redis_url, **short})
    other = spawn_service({"PRESENCE_REDIS_URL": redis_url})

    lengths = [
        round((beat(service.url, viewer, hidden=is_hidden)["expires_at"] - as_of(service.url)) / 1_000, -1)
        for service, viewer, is_hidden in (
            (one, "a", False),
            (one, "b", True),
            (other, "c", False),
            (other, "d", True),
        )
    ]

    assert lengths == [40, 80, 60, 150]
    totals = [httpx2.get(f"{service.url}/v1/courses/c1/count").json()["total"] for service in (one, other)]
    assert totals == [4, 4]


def test_another_prefix_is_another_service(spawn_service: SpawnService, redis_url: str) -> None:
    """PRESENCE_KEY_PREFIX: two that know nothing of each other."""
    one = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    other = spawn_service({"PRESENCE_REDIS_URL": redis_url, "PRESENCE_KEY_PREFIX": "other"})

    assert beat(one.url, "a")["total"] == beat(other.url, "b")["total"] == 1


def test_replicas_without_people_or_history_count_all_the_same(
    spawn_service: SpawnService, redis_url: str
) -> None:
    """PRESENCE_PEOPLE, PRESENCE_HISTORY: counted alike, and people who came there are found (S14)."""
    off = {"PRESENCE_PEOPLE": "off", "PRESENCE_HISTORY": "off"}
    one = spawn_service({"PRESENCE_REDIS_URL": redis_url, **off})
    other = spawn_service({"PRESENCE_REDIS_URL": redis_url})

    assert (beat(one.url, "a")["total"], beat(other.url, "b")["total"]) == (1, 2)
    assert httpx2.get(f"{one.url}/v1/stats").json()["people"] is None
    assert httpx2.get(f"{one.url}/v1/courses/c1/history").status_code == 404
    assert httpx2.get(f"{other.url}/v1/courses/c1/history").status_code == 200
    wait_until(lambda: httpx2.get(f"{other.url}/v1/stats").json()["people"] == 2)

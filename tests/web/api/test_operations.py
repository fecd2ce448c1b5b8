"""What an operator sees: alive, ready, metrics; also while Redis is away and on the way out."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import httpx2
import pytest

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.rig import SHIPPED, Service


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as made:
        yield made


def test_alive_and_ready(service: Service) -> None:
    """200 with a word, never cached."""
    for path, word in (("/livez", "alive"), ("/readyz", "ready")):
        reply = httpx2.get(f"{service.url}{path}")
        assert (reply.status_code, reply.json()) == (200, {"status": word})
        assert reply.headers["cache-control"] == "no-store"


def test_metrics_name_no_viewer_and_no_course(service: Service) -> None:
    """What is counted is there, in the text format, and no id is in any label."""
    httpx2.post(f"{service.url}/v1/courses/secret-course/heartbeat", json={"viewer_id": "secret-viewer"})
    httpx2.get(f"{service.url}/no/such/secret-path")
    reply = httpx2.get(f"{service.url}/metrics")

    assert reply.headers["content-type"].startswith("text/plain; version=")
    for name in (
        "presence_requests_total{",
        "presence_batch_size_count",
        "presence_redis_seconds_bucket",
        "presence_redis_failures_total",
        "presence_streams ",
        "presence_resubscriptions_total",
    ):
        assert name in reply.text
    assert "secret" not in reply.text


@pytest.mark.parametrize("fault", ["stopped", "killed"])
def test_redis_away(own_server: EmbeddedServer, spawn_service: SpawnService, fault: str) -> None:
    """Every route that needs Redis answers 503 with Retry-After within half a second; alive all the time."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url, **SHIPPED})
    os.kill(own_server.pid, signal.SIGSTOP if fault == "stopped" else signal.SIGKILL)
    try:
        with httpx2.Client(base_url=service.url, timeout=5) as client:
            replies = []
            for method, path, body in (
                ("POST", "/v1/courses/c1/heartbeat", {"viewer_id": "a"}),
                ("POST", "/v1/courses/c1/leave", {"viewer_id": "a"}),
                ("GET", "/v1/courses/c1/count", None),
                ("GET", "/v1/counts?course_id=c1", None),
                ("GET", "/v1/courses/c1/viewers", None),
                ("DELETE", "/v1/courses/c1/viewers/a", None),
                ("GET", "/v1/stats", None),
                ("GET", "/readyz", None),
            ):
                began = time.monotonic()
                reply = client.request(method, path, json=body)
                replies.append((path, reply, time.monotonic() - began))
            batch = client.post("/v1/heartbeats", json={"heartbeats": [{"course_id": "c", "viewer_id": "a"}]})
            alive = client.get("/livez").status_code
    finally:
        if fault == "stopped":
            os.kill(own_server.pid, signal.SIGCONT)

    for path, reply, took_s in replies:
        assert reply.status_code == 503, path
        assert reply.headers["content-type"] == "application/problem+json"
        assert int(reply.headers["retry-after"]) >= 1
        assert took_s < 0.5 + 0.5, path  # half a second is promised; the rest is for a busy machine
    assert batch.json()["results"][0]["status"] == 503
    assert alive == 200


def test_redis_back(own_server: EmbeddedServer, spawn_service: SpawnService) -> None:
    """Within 2 s of Redis being back, also with empty data, the service is."""
    service = spawn_service({"PRESENCE_REDIS_URL": own_server.url})
    os.kill(own_server.pid, signal.SIGKILL)
    time.sleep(0.5)
    away = service.get_status("/readyz")
    own_server.start()
    ends_at = time.monotonic() + 2
    while service.get_status("/readyz") != 200 and time.monotonic() < ends_at:
        time.sleep(0.02)
    reply = httpx2.post(f"{service.url}/v1/courses/c1/heartbeat", json={"viewer_id": "a"})

    assert away == 503
    assert (reply.status_code, reply.json()["total"]) == (200, 1)
    assert "Traceback" not in service.logs()

"""`presence-svc demo --cluster`: three masters, a crowd, a past; and nothing is left of it at the end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import SpawnService
from tests.rig import Service, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
COURSE = "python-101"
DAY_MS = 86_400_000


def family(pid: int) -> list[int]:
    """All that descend from a process."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found[1:]


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def get(service: Service, path: str, **params: Any) -> dict[str, Any]:
    reply = httpx2.get(f"{service.url}{path}", params=params, timeout=10)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


@pytest.fixture
def demo(spawn_service: SpawnService, tmp_path: Path) -> Service:
    """Also where the environment names another Redis and another number of partitions."""
    elsewhere = {"PRESENCE_REDIS_URL": "redis://127.0.0.1:1", "PRESENCE_PARTITIONS": "64"}
    env = {**elsewhere, "TMPDIR": str(tmp_path)}
    return spawn_service(env, command=["demo", "--cluster", "--viewers", "80"])


def test_it_serves_a_crowd_and_its_past(demo: Service, tmp_path: Path) -> None:
    """S15: lively courses, two weeks of history by every route, pages to open; then Ctrl-C ends all of it."""
    wait_until(lambda: get(demo, "/v1/stats")["total"] >= 30 and get(demo, "/v1/stats")["courses"] == 4)
    count = get(demo, f"/v1/courses/{COURSE}/count")
    roster = get(demo, f"/v1/courses/{COURSE}/viewers", limit=100)
    assert sum(count["chapters"].values()) == count["total"]
    assert all(viewer["name"] for viewer in roster["viewers"])
    assert get(demo, "/v1/stats")["exact"] is False

    now = time.time_ns() // 1_000_000
    days = get(demo, f"/v1/courses/{COURSE}/history", step="1d", **{"from": now - 10 * DAY_MS, "to": now})
    quarters = get(demo, f"/v1/courses/{COURSE}/history", **{"from": now - DAY_MS, "to": now - DAY_MS // 2})
    calendar = get(demo, f"/v1/courses/{COURSE}/history/calendar", weeks=2)
    heatmap = get(demo, f"/v1/courses/{COURSE}/history/heatmap", **{"from": now - DAY_MS, "to": now})
    export = httpx2.get(f"{demo.url}/v1/history/export", params={"limit": 200}, timeout=10)
    assert all(peak for peak in days["peak"])
    assert not any(quarters["partial"])
    assert max(max(peak or 0 for peak in row) for row in calendar["peak"]) > 5
    assert len(heatmap["chapters"]) > 2
    assert len(export.text.splitlines()) >= 200
    for page in ("demo", "dashboard", "docs"):
        assert f"{demo.url}/{page}" in demo.logs()
        assert demo.get_status(f"/{page}") == 200

    everybody = family(demo.pid)
    servers = [pid for pid in everybody if "valkey-server" in os.readlink(f"/proc/{pid}/exe")]
    assert len(servers) == 3
    assert demo.terminate(signal.SIGINT) == 0
    wait_until(lambda: not any(map(runs, everybody)), within_s=10)
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in demo.logs()


def test_a_killed_demo_leaves_no_server(demo: Service) -> None:
    """kill -9 of the parent: its masters notice, and end."""
    everybody = family(demo.pid)
    assert len(everybody) >= 6  # a keeper and a server, three times

    os.kill(demo.pid, signal.SIGKILL)

    wait_until(lambda: not any(map(runs, everybody)), within_s=15)

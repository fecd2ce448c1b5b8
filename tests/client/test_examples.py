"""docs/clients.md: each example runs as it stands, in its framework, against a real service.

The addresses alone are exchanged. Needs the extra `examples` for Django, Celery and FastAPI.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from presence_svc.client import PresenceClient
from tests import rig
from tests.client.conftest import KEY, QUARTER

TEXT = (rig.ROOT / "docs/clients.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.S | re.M)
DJANGO = """
import json, os, sys
import django
from django.conf import settings

settings.configure(ROOT_URLCONF="example", ALLOWED_HOSTS=["testserver"], SECRET_KEY="x" * 50)
django.setup()
from django.test import Client

print(json.dumps([Client().get(f"/courses/{course}/").json() for course in sys.argv[1:]]))
"""
CELERY = """
import json, sys
from celery import Celery
from celery.contrib.testing.worker import start_worker

app = Celery(broker="memory://", backend="cache+memory://")
app.set_default()
from example import end_of_subscription

with start_worker(app, perform_ping_check=False, shutdown_timeout=30):
    print(json.dumps(end_of_subscription.delay(sys.argv[1], sys.argv[2]).get(timeout=30)))
"""
FASTAPI = """
import json, sys
from fastapi.testclient import TestClient
from example import app

with TestClient(app) as client:
    print(json.dumps([client.get(f"/courses/{course}").json() for course in sys.argv[1:]]))
"""


def block(containing: str) -> str:
    found: list[str] = [text for text in BLOCKS if containing in text]
    assert len(found) == 1, containing
    return found[0]


def run(code: str, driver: str, url: str, folder: Path, *arguments: str) -> Any:
    """The example as a module beside its driver, in a process of its own; what it prints last."""
    (folder / "example.py").write_text(code.replace("http://127.0.0.1:8000", url))
    (folder / "driver.py").write_text(driver)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PRESENCE_")}
    done = subprocess.run(
        [sys.executable, "driver.py", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(rig.ROOT), "PRESENCE_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def need(module: str) -> None:
    if find_spec(module) is None:
        rig.missing(f"{module} (the extra `examples`)")


def test_every_example_is_tried() -> None:
    """A new block of the page needs a test here."""
    tried = ("with PresenceClient(", "all_exported", "JsonResponse", "watch_sync", "shared_task", "FastAPI")

    assert len(BLOCKS) == len(tried)
    assert all(block(part) for part in ("presence.heartbeat(", *tried[1:]))


def test_the_first_example(redis_url: str, tmp_path: Path, spawn_service: Any) -> None:
    """Three lines, without a key: a service as it starts by default."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})

    assert run(block("presence.heartbeat("), "import example", service.url, tmp_path) == 1


def test_the_nightly_job(
    export_service: rig.Service, closed: int, closing_redis: Redis, tmp_path: Path
) -> None:
    """Run again it stores nothing twice; what has been closed meanwhile is added."""
    code = block("all_exported")
    missed = closed + 3

    assert run(code, "import example", export_service.url, tmp_path) == 4
    assert run(code, "import example", export_service.url, tmp_path) == 4
    now = int(closing_redis.time()[0]) * 1_000 // QUARTER
    closing_redis.hset(f"presence:{{exported}}:quarters:{missed // 96}", str(missed % 96), "3 900000")
    closing_redis.append(
        f"presence:closed:{now}", f"exported {missed} {(now - missed - 1) * QUARTER + 300}\n"
    )
    assert run(code, "import example", export_service.url, tmp_path) == 5


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_django(service: rig.Service, course: str, tmp_path: Path) -> None:
    """The view tells the number, and none when the service is away."""
    need("django")
    with PresenceClient(service.url, api_key=KEY) as presence:
        presence.heartbeat(course, viewer_id="u1")
    code = block("JsonResponse")

    assert run(code, DJANGO, service.url, tmp_path, course) == [{"course": course, "watching": 1}]
    away = run(code, DJANGO, f"http://127.0.0.1:{rig.free_port()}", tmp_path, course)
    assert away == [{"course": course, "watching": None}]


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_celery(service: rig.Service, course: str, tmp_path: Path) -> None:
    """A worker takes the viewer off the course, for an hour."""
    need("celery")
    with PresenceClient(service.url, api_key=KEY) as presence:
        for viewer in ("u1", "u2"):
            presence.heartbeat(course, viewer_id=viewer)

        assert run(block("shared_task"), CELERY, service.url, tmp_path, course, "u1") == 1

        presence.heartbeat(course, viewer_id="u1", session_id="another")
        assert [viewer.viewer_id for viewer in presence.viewers(course).viewers] == ["u2"]


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_fastapi(service: rig.Service, course: str, tmp_path: Path) -> None:
    """The route answers a Count; what the service refuses is handed on as its problem."""
    need("fastapi")
    with PresenceClient(service.url, api_key=KEY) as presence:
        presence.heartbeat(course, viewer_id="u1", chapter_id="ch-1")

    (count,) = run(block("FastAPI"), FASTAPI, service.url, tmp_path, course)

    assert (count["course_id"], count["total"], count["chapters"]) == (course, 1, {"ch-1": 1})


def test_the_watch_example(redis_url: str) -> None:
    """It prints what is true now, and goes on until it is closed."""
    with Redis.from_url(redis_url) as redis:
        redis.set("presence:since", 1)
    code = block("watch_sync").replace("redis://localhost", redis_url)
    started = subprocess.Popen([sys.executable, "-uc", code], cwd=rig.ROOT, stdout=subprocess.PIPE, text=True)
    with started:
        assert started.stdout is not None
        assert started.stdout.readline() == "0 {}\n"
        started.kill()

"""A former version: its code as git has it, and what was recorded of it for clones without that history.

`python -m tests.upgrade.former COMMIT` records it anew into former.json, when a version is released.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
from redis import Redis

from tests.rig import ROOT, VALKEY, Service, real_server
from tests.store.replica import OLDER
from tests.upgrade.surface import settings_of, surface

RECORD = Path(__file__).parent / "former.json"
PREFIX = "presence"
# Who was there when it was recorded: course, then the heartbeat's own fields.
PEOPLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("c1", {"viewer_id": "ada", "session_id": "t1", "chapter_id": "ch-1", "name": "Ada", "seq": 1}),
    ("c1", {"viewer_id": "ada", "session_id": "t2", "chapter_id": "ch-2", "name": "Ada", "seq": 1}),
    ("c1", {"viewer_id": "bob", "chapter_id": "ch-1", "avatar_url": "https://x.example/b.png", "seq": 7}),
    ("c1", {"viewer_id": "cyd", "anonymous": True}),
    ("c1", {"viewer_id": "dan", "hidden": True, "chapter_id": "ch-2"}),
    ("c1", {"viewer_id": "eve", "chapter_id": "ch-1", "seq": 3}),
    ("c2", {"viewer_id": "ada", "session_id": "t3", "chapter_id": "ch-1"}),
)
LEFT = ("c1", {"viewer_id": "eve", "seq": 4})


class FormerService(Service):
    """`serve` of a former version's code in `folder`, by the packages of today."""

    def __init__(self, folder: Path, env: dict[str, str], *, port: int | None = None) -> None:
        patient = {"PRESENCE_REDIS_TIMEOUT": "0.45"}  # the longest that it allows
        super().__init__(patient | env | {"PYTHONPATH": str(folder)}, port=port)
        self._command = [sys.executable, "-m", "presence_svc", "serve"]
        self._cwd = folder


@contextmanager
def code_of(commit: str) -> Iterator[Path | None]:
    """A folder with the package as it was; None where git does not have it."""
    command = ["git", "archive", commit, "presence_svc"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    if done.returncode:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


def invite(url: str) -> None:
    """Brings the people, and takes one of them away again."""
    with httpx2.Client(base_url=url, timeout=10) as http:
        for course, body in PEOPLE:
            http.post(f"/v1/courses/{course}/heartbeat", json=body).raise_for_status()
        http.post(f"/v1/courses/{LEFT[0]}/leave", json=LEFT[1]).raise_for_status()


def dump(redis: Any) -> dict[str, Any]:
    """All keys by name, each with its type, what it holds and when it ends (ms), in words of JSON."""
    found = {}
    for key in sorted(redis.keys("*")):
        kind = redis.type(key).decode()
        value: Any
        if kind == "zset":
            value = [[member.decode(), score] for member, score in redis.zrange(key, 0, -1, withscores=True)]
        elif kind == "hash":
            value = {name.decode(): text.decode("latin-1") for name, text in redis.hgetall(key).items()}
        else:
            value = redis.get(key).decode("latin-1")
        found[key.decode()] = {"type": kind, "value": value, "ends": redis.pexpiretime(key)}
    return found


def restore(redis: Redis, record: dict[str, Any], age_ms: int = 0) -> None:
    """Puts the keys back as if they had been recorded `age_ms` ago."""
    seconds, micros = redis.time()
    later = seconds * 1_000 + micros // 1_000 - age_ms - record["recorded_at"]
    for key, entry in record["keys"].items():
        value = entry["value"]
        if entry["type"] == "zset":
            redis.zadd(key, dict(value))
        elif entry["type"] == "hash":
            redis.hset(key, mapping={name: text.encode("latin-1") for name, text in value.items()})
        else:
            redis.set(key, value.encode("latin-1"))
    redis.eval(OLDER, 0, str(-later), PREFIX)
    for key, entry in record["keys"].items():
        if entry["ends"] > 0:
            redis.pexpireat(key, entry["ends"] + later)


def load() -> dict[str, Any]:
    """What was recorded."""
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def record(commit: str) -> dict[str, Any]:
    """Runs that version and writes down what it leaves in Redis and what it shows."""
    with code_of(commit) as folder, real_server(VALKEY) as server, Redis.from_url(server.url) as redis:
        assert folder is not None, f"git has no {commit}"
        with FormerService(folder, {"PRESENCE_REDIS_URL": server.url}) as service:
            shown = surface(service, server.url)
            shown["settings"] = {
                "all": settings_of([sys.executable], str(folder), {"PYTHONPATH": str(folder)})
            }
        redis.flushall()
        with FormerService(folder, {"PRESENCE_REDIS_URL": server.url}) as service:
            invite(service.url)
            seconds, micros = redis.time()
            return {
                "commit": commit,
                "recorded_at": seconds * 1_000 + micros // 1_000,
                "keys": dump(redis),
                "surface": shown,
            }


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(sys.argv[1]), indent=1) + "\n")

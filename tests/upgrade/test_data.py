"""What a former version has left in Redis, as its keys were recorded: this one goes on with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from redis import Redis

from tests import rig
from tests.conftest import EmptyServer, SpawnService
from tests.upgrade import former

pytestmark = pytest.mark.timeout(60)
RECORD = former.load()


@pytest.fixture(params=rig.REAL_BACKENDS)
def redis(request: pytest.FixtureRequest, empty_server: EmptyServer) -> Iterator[Redis]:
    """A Redis with nothing in it."""
    with Redis.from_url(empty_server(request.param).url) as client:
        yield client


def serve(spawn_service: SpawnService, redis: Redis, **env: str) -> httpx2.Client:
    """This version on that Redis."""
    path = redis.connection_pool.connection_kwargs["path"]
    service = spawn_service({"PRESENCE_REDIS_URL": f"unix://{path}", **env})
    return httpx2.Client(base_url=service.url, timeout=10)


def get(http: httpx2.Client, path: str) -> Any:
    return http.get(path).raise_for_status().json()


def test_nobody_is_lost(spawn_service: SpawnService, redis: Redis) -> None:
    """S1, S2, S7: whoever had a lease is counted and named as before, and people are found (S14)."""
    former.restore(redis, RECORD)

    with serve(spawn_service, redis) as http:
        count = get(http, "/v1/courses/c1/count")
        viewers = {one["viewer_id"]: one for one in get(http, "/v1/courses/c1/viewers")["viewers"]}

        assert (count["total"], count["named"], count["anonymous"]) == (4, 3, 1)
        assert count["chapters"] == {"ch-1": 2, "ch-2": 2}
        assert get(http, "/v1/courses/c2/count")["total"] == 1
        assert viewers.keys() == {"ada", "bob", "dan"}
        assert (viewers["ada"]["name"], sorted(viewers["ada"]["chapters"])) == ("Ada", ["ch-1", "ch-2"])
        assert viewers["bob"]["avatar_url"] == "https://x.example/b.png"
        rig.wait_until(lambda: get(http, "/v1/stats")["people"] == 4)  # ada is in two courses


def test_sessions_go_on(spawn_service: SpawnService, redis: Redis) -> None:
    """S5, S6: a renewal is no join, a late packet revives nobody, a leave acts; versions grow (S8)."""
    former.restore(redis, RECORD)
    version = int(redis.hget("presence:{c1}:state", "version") or 0)

    with serve(spawn_service, redis) as http:

        def say(verb: str, **body: object) -> httpx2.Response:
            return http.post(f"/v1/courses/c1/{verb}", json=body).raise_for_status()

        renewed = say("heartbeat", viewer_id="ada", session_id="t1", chapter_id="ch-1", seq=2).json()
        late = say("heartbeat", viewer_id="eve", chapter_id="ch-1", seq=3).json()
        assert (renewed["total"], late["total"]) == (4, 4)
        assert late["expires_at"] <= get(http, "/v1/courses/c1/count")["as_of"]
        say("leave", viewer_id="ada", session_id="t1", seq=3)
        say("leave", viewer_id="bob", seq=8)

        count = get(http, "/v1/courses/c1/count")
        assert (count["total"], count["chapters"]) == (3, {"ch-2": 2})
        assert count["version"] > version > 0


@pytest.mark.slow
def test_their_leases_end(spawn_service: SpawnService, redis: Redis) -> None:
    """S9: what another version has put on the agenda is swept and told; doctor finds nothing amiss."""
    former.restore(redis, RECORD, age_ms=45_000)  # all but the hidden tab's end in 15 s: after the start

    with serve(spawn_service, redis) as http, redis.pubsub() as changes:  # type: ignore[no-untyped-call]
        changes.subscribe("presence:{c1}:changes")
        assert get(http, "/v1/courses/c1/count")["total"] == 4
        told: list[dict[str, Any]] = []

        def has_told() -> bool:
            message = changes.get_message(ignore_subscribe_messages=True, timeout=1)
            if message:
                told.append(json.loads(message["data"]))
            return bool(told) and told[-1]["total"] == 1

        rig.wait_until(has_told, pause_s=0)
        assert told[-1]["chapters"] == {"ch-2": 1}
        assert get(http, "/v1/courses/c1/count")["total"] == 1
        rig.wait_until(lambda: not redis.exists("presence:{c1}:viewer:ada", "presence:{c2}:viewer:ada"))
    path = redis.connection_pool.connection_kwargs["path"]
    done = subprocess.run(
        [sys.executable, "-m", "presence_svc", "doctor"],
        cwd=rig.ROOT,
        env={"PATH": "/usr/bin:/bin", "PRESENCE_REDIS_URL": f"unix://{path}"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout


def test_public_keys_are_written_as_before(spawn_service: SpawnService, redis: Redis) -> None:
    """The two keys that others may read (docs/data.md): the same people leave the same, but for moments."""
    path = redis.connection_pool.connection_kwargs["path"]
    former.invite(spawn_service({"PRESENCE_REDIS_URL": f"unix://{path}"}).url)
    present = former.dump(redis)
    public = [key for key in RECORD["keys"] if key.endswith(":viewers") or ":viewer:" in key]

    assert len(public) == 7
    for key in public:
        was, now = RECORD["keys"][key], present[key]
        assert was["type"] == now["type"]
        assert shape(was["value"]) == shape(now["value"]), key


def shape(value: Any) -> Any:
    """Without moments: scores, `joined_at`, and the lease that a session begins with."""
    if isinstance(value, list):
        return sorted(member for member, _ in value)
    return {
        name: text.split(" ", 1)[1] if name.startswith("s:") else name == "joined_at" or text
        for name, text in value.items()
    }

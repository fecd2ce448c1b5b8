"""Signing in over HTTP, in both paths: every reply, read and message has the same total (S1, S6-S8)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest
from redis import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.auth.issuer import Issuer, bearer
from tests.conftest import SpawnService
from tests.rig import SHIPPED, VALKEY, Service, real_server

KEY = "a-service-key-of-the-tests"
SESSION = "session-0123456789abcdef"
Numbers = tuple[int, int, int]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def redis() -> Iterator[EmbeddedServer]:
    with real_server(VALKEY) as server:
        yield server


PATHS = {"fast": {"PRESENCE_FAST_PATH": "true"}, "asgi": {"PRESENCE_FAST_PATH": "false"}}


def env_of(issuer: Issuer, redis: EmbeddedServer) -> dict[str, str]:
    return issuer.env | {
        "PRESENCE_REDIS_URL": redis.url,
        "PRESENCE_ALLOW_ANONYMOUS": "true",
        "PRESENCE_SERVICE_KEYS": KEY,
        "PRESENCE_ADDRESS_BURST": "10000",
    }


@pytest.fixture(scope="module")
def paths(issuer: Issuer, redis: EmbeddedServer) -> Iterator[dict[str, Service]]:
    """Two replicas on one Redis that differ in their path."""
    env = env_of(issuer, redis)
    with ExitStack() as stack:
        yield {name: stack.enter_context(Service(env | path)) for name, path in PATHS.items()}


@pytest.fixture(params=["fast", "asgi"])
def http(request: pytest.FixtureRequest, paths: dict[str, Service]) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=paths[request.param].url, timeout=5) as client:
        yield client


@pytest.fixture
def course(request: pytest.FixtureRequest) -> str:
    """A course of the test's own."""
    return str(request.node.name).replace("[", ".").replace("]", "")


def beat(http: httpx2.Client, course: str, token: str | None, **said: Any) -> httpx2.Response:
    body = {"session_id": SESSION, **said}
    return http.post(f"/v1/courses/{course}/heartbeat", json=body, headers=bearer(token) if token else {})


def total(reply: httpx2.Response) -> int:
    assert reply.status_code == 200, reply.text
    return int(reply.json()["total"])


def numbers(http: httpx2.Client, course: str) -> Numbers:
    count = http.get(f"/v1/courses/{course}/count", headers=bearer(KEY)).json()
    return count["total"], count["named"], count["anonymous"]


@contextmanager
def watched(http: httpx2.Client, redis: EmbeddedServer, course: str) -> Iterator[tuple[set[int], list[Any]]]:
    """Every total that is read, as fast as it goes, and every message of the channel."""
    totals: set[int] = set()
    messages: list[Any] = []
    ended = threading.Event()
    client = Redis.from_url(redis.url)
    channel = client.pubsub()  # type: ignore[no-untyped-call]
    channel.subscribe(f"presence:{{{course}}}:changes")
    assert channel.get_message(timeout=5)

    def read() -> None:
        with httpx2.Client(base_url=http.base_url, timeout=5) as reader:
            while not ended.is_set():
                totals.add(numbers(reader, course)[0])

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield totals, messages
        time.sleep(0.6)  # a message may wait for PUBLISH_INTERVAL
    finally:
        ended.set()
        thread.join(5)
        while message := channel.get_message(timeout=0.1):
            messages.append(json.loads(message["data"]))
        channel.close()
        client.close()


def test_the_count_does_not_move(
    http: httpx2.Client, redis: EmbeddedServer, issuer: Issuer, course: str
) -> None:
    """S1, S7, S8: anonymous, then signed in, among others and in a chapter: no other total anywhere."""
    token = issuer.token("ada", name="Ada")
    for other in ("bob", "cleo"):
        beat(http, course, KEY, viewer_id=other, chapter_id="ch-1")
    assert total(beat(http, course, None, chapter_id="ch-1", seq=1)) == 3
    time.sleep(0.6)

    with watched(http, redis, course) as (totals, messages):
        replies = [beat(http, course, token, chapter_id="ch-1", seq=seq) for seq in (2, 3, 4)]

    assert [total(reply) for reply in replies] == [3, 3, 3]
    assert {reply.json()["viewer_id"] for reply in replies} == {"ada"}
    assert totals == {3}
    assert [(one["total"], one["named"], one["chapters"]) for one in messages] == [(3, 3, {"ch-1": 3})]
    assert numbers(http, course) == (3, 3, 0)


def test_a_late_packet_without_the_token_changes_nothing(
    http: httpx2.Client, redis: EmbeddedServer, issuer: Issuer, course: str
) -> None:
    """S6: sent before the token was there, it arrives after; its reply says that this session has left."""
    beat(http, course, None, seq=1)
    beat(http, course, issuer.token("ada"), seq=3)

    with watched(http, redis, course) as (totals, messages):
        late = beat(http, course, None, seq=2)

    assert total(late) == 1
    assert totals == {1}
    assert [one["total"] for one in messages] in ([], [1])
    assert numbers(http, course) == (1, 1, 0)


def test_across_replicas(paths: dict[str, Service], issuer: Issuer, course: str) -> None:
    """S10: without a token at one replica, with it at another, in either path: one person."""
    token = issuer.token("ada")
    clients = [httpx2.Client(base_url=path.url, timeout=5) for path in paths.values()]
    for n, (first, then) in enumerate((clients, clients[::-1])):
        own = f"{course}-{n}"
        replies = [beat(first, own, None, seq=1), beat(then, own, token, seq=3)]
        replies += [beat(first, own, None, seq=2), beat(first, own, token, seq=4)]
        assert [total(reply) for reply in replies] == [1, 1, 1, 1]
        assert numbers(then, own) == (1, 1, 0)
    for client in clients:
        client.close()


@pytest.mark.parametrize("path", PATHS)
def test_redis_away_at_the_first_try(
    own_server: EmbeddedServer, spawn_service: SpawnService, issuer: Issuer, course: str, path: str
) -> None:
    """S1: the heartbeat with the token fails and is sent again in the same words: still one person."""
    token = issuer.token("ada")
    service = spawn_service(env_of(issuer, own_server) | PATHS[path] | SHIPPED)
    with httpx2.Client(base_url=service.url, timeout=5) as http, Redis.from_url(own_server.url) as client:
        beat(http, course, None, seq=1)
        client.execute_command("CLIENT", "PAUSE", "700", "ALL")
        refused = beat(http, course, token, seq=2)
        deadline = time.monotonic() + 5
        while (again := beat(http, course, token, seq=2)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.05)

        assert refused.status_code == 503
        assert total(again) == 1
        assert numbers(http, course) == (1, 1, 0)


@pytest.mark.parametrize("session", ["main", "short"])
def test_a_session_that_others_could_guess_succeeds_to_nobody(
    http: httpx2.Client, redis: EmbeddedServer, issuer: Issuer, course: str, session: str
) -> None:
    """A session id that cannot have been anonymous asks Redis for nothing: no mark, no key."""
    assert total(beat(http, course, issuer.token("ada"), session_id=session, seq=1)) == 1

    with Redis.from_url(redis.url) as client:
        assert client.keys(f"presence:{{{course}}}:left:*") == []


def test_a_service_speaks_for_whom_it_names_alone(http: httpx2.Client, course: str) -> None:
    """Whoever holds an API key is nobody's session: an anonymous one of the same id lives on."""
    beat(http, course, None, seq=1)
    beat(http, course, KEY, viewer_id="ada", seq=2)
    item = {"course_id": course, "viewer_id": "bob", "session_id": SESSION}
    http.post("/v1/heartbeats", json={"heartbeats": [item]}, headers=bearer(KEY))

    assert numbers(http, course) == (3, 2, 1)


def test_signing_out_and_in_again_moves_no_number(http: httpx2.Client, issuer: Issuer) -> None:
    """S1, S6-S8: anonymous, signed in, out and in again, in one session and with one token: always one."""
    course = f"again-{http.base_url.port}"
    signed_in = bearer(issuer.token("ada"))
    service = bearer(KEY)

    def numbers() -> tuple[int, int]:
        count = http.get(f"/v1/courses/{course}/count", headers=service).json()
        return count["total"], count["anonymous"]

    def beat(seq: int, headers: dict[str, str] | None = None, **said: Any) -> dict[str, Any]:
        body = {"session_id": SESSION, "seq": seq, "chapter_id": "ch-1", **said}
        reply = http.post(f"/v1/courses/{course}/heartbeat", json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        told: dict[str, Any] = reply.json()
        assert told["total"] == 1, told
        return told

    seen = []
    beat(1)
    for turn in range(3):
        told = beat(10 * turn + 2, signed_in)
        told = beat(10 * turn + 3, signed_in)
        seen.append(numbers())
        beat(10 * turn + 4, viewer_id="ada", leave_token=told["leave_token"])
        beat(10 * turn + 5)
        seen.append(numbers())

    assert seen == [(1, 0), (1, 1)] * 3


def test_nobody_signs_another_out(http: httpx2.Client, issuer: Issuer) -> None:
    """A leave token that is not the session's own takes nothing over."""
    course = f"foreign-{http.base_url.port}"
    body = {"session_id": SESSION, "seq": 1}
    http.post(f"/v1/courses/{course}/heartbeat", json=body, headers=bearer(issuer.token("ada")))

    reply = http.post(
        f"/v1/courses/{course}/heartbeat",
        json={**body, "seq": 2, "viewer_id": "ada", "leave_token": "0" * 32},
    )

    assert reply.status_code == 401
    assert http.get(f"/v1/courses/{course}/count", headers=bearer(KEY)).json()["named"] == 1

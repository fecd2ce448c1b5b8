"""Replicas of two versions on one Redis: a former one's, by git's history, and this one's; there and back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.rig import Service, free_port, wait_until
from tests.upgrade import former

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
COMMIT = former.load()["commit"]
SIZE = 20
TTL_S = 6.0
LEASES = {
    "PRESENCE_TTL": str(TTL_S),
    "PRESENCE_HIDDEN_TTL": str(2 * TTL_S),
    "PRESENCE_HEARTBEAT_INTERVAL": "2",
    "PRESENCE_LEAVE_GRACE": "0.5",
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The former version's code."""
    with former.code_of(COMMIT) as found:
        if found is None:
            pytest.skip(f"this clone has no history back to {COMMIT}; test_data has what was recorded of it")
        yield found


class Crowd(threading.Thread):
    """Viewers with a heartbeat a second, in turns by each replica; by the other one when one is away."""

    def __init__(self, urls: Sequence[str], course: str) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.refused: list[str] = []
        self._urls = cycle(urls)
        self._many = len(urls)
        self._course = course

    def run(self) -> None:
        seq = 0
        with httpx2.Client(timeout=5) as http:
            while not self.over.wait(1):
                seq += 1
                for number in range(SIZE):
                    chapter = f"ch-{number % 2}"
                    body = {"viewer_id": f"v{number}", "session_id": "s", "chapter_id": chapter, "seq": seq}
                    self._beat(http, body)

    def _beat(self, http: httpx2.Client, body: dict[str, Any]) -> None:
        for url in islice(self._urls, self._many + 1):
            try:
                reply = http.post(f"{url}/v1/courses/{self._course}/heartbeat", json=body)
            except httpx2.HTTPError:
                continue
            if reply.status_code != 503:  # it is on its way out, or in
                if reply.is_error:
                    self.refused.append(reply.text)
                return


@contextmanager
def crowd(urls: Sequence[str], course: str) -> Iterator[Crowd]:
    made = Crowd(urls, course)
    made.start()
    try:
        yield made
    finally:
        made.over.set()
        made.join(20)


@contextmanager
def totals(redis_url: str, course: str) -> Iterator[list[int]]:
    """Every total that is published meanwhile, and that of each look at both replicas (see `look`)."""
    heard: list[int] = []
    over = threading.Event()

    def listen() -> None:
        with Redis.from_url(redis_url) as redis, redis.pubsub() as changes:
            changes.subscribe(f"presence:{{{course}}}:changes")
            while not over.is_set():
                message = changes.get_message(ignore_subscribe_messages=True, timeout=0.2)
                if message:
                    heard.append(json.loads(message["data"])["total"])

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
    finally:
        over.set()
        thread.join(10)


def look(services: Sequence[Service], course: str) -> list[tuple[int, dict[str, int]]]:
    """What each replica says of it."""
    counts = [httpx2.get(f"{one.url}/v1/courses/{course}/count", timeout=10).json() for one in services]
    return [(count["total"], count["chapters"]) for count in counts]


def test_there_and_back_one_at_a_time(folder: Path, own_server: EmbeddedServer) -> None:
    """S1, S8, S10: nobody is lost or counted twice while both versions serve, nor on the way back."""
    env = {"PRESENCE_REDIS_URL": own_server.url, **LEASES}
    ports = (free_port(), free_port())
    whole = [(SIZE, {"ch-0": SIZE // 2, "ch-1": SIZE // 2})] * 2
    with ExitStack() as stack:
        make: dict[str, Callable[[int], Service]] = {
            "former": lambda port: former.FormerService(folder, env, port=port),
            "present": lambda port: Service(env, port=port),
        }
        running = [stack.enter_context(make["former"](port)) for port in ports]
        urls = [one.url for one in running]
        walkers = stack.enter_context(crowd(urls, "c1"))
        wait_until(lambda: look(running, "c1") == whole)
        heard = stack.enter_context(totals(own_server.url, "c1"))

        for place, version in ((0, "present"), (1, "present"), (0, "former"), (1, "former")):
            running[place].terminate()
            running[place] = stack.enter_context(make[version](ports[place]))
            until = time.monotonic() + TTL_S * 1.5  # leases given before the change have ended
            while time.monotonic() < until:
                assert look(running, "c1") == whole, (place, version)
                time.sleep(0.3)

        assert walkers.refused == []
        assert set(heard) <= {SIZE}
        walkers.over.set()
        walkers.join(20)
        wait_until(lambda: look(running, "c1") == [(0, {}), (0, {})], within_s=TTL_S + 15)


def test_what_one_hears_the_other_tells(folder: Path, own_server: EmbeddedServer) -> None:
    """S8, S10: a change that is made at one version's replica is on the streams of the other's, both ways."""
    env = {"PRESENCE_REDIS_URL": own_server.url}
    with former.FormerService(folder, env) as old, Service(env) as new:
        for number, (here, there) in enumerate(((old, new), (new, old)), 1):
            path = f"{there.url}/v1/courses/c1/live?viewers=5"
            with httpx2.stream("GET", path, timeout=20) as stream:
                lines = stream.iter_lines()
                while next(lines) != "event: count":
                    pass
                body = {"viewer_id": f"u{number}", "name": f"Viewer {number}"}
                httpx2.post(f"{here.url}/v1/courses/c1/heartbeat", json=body).raise_for_status()
                for line in lines:
                    if line.startswith("data: ") and f"Viewer {number}" in line:
                        assert json.loads(line[6:])["total"] == number
                        break
        left = httpx2.post(f"{old.url}/v1/courses/c1/leave", json={"viewer_id": "u2"})
        assert left.status_code == 204
        assert look([old, new], "c1") == [(1, {})] * 2

"""`presence-svc demo`: the service on an embedded server, and a crowd of viewers that uses it over HTTP.

The crowd runs in a thread of the parent process and knows only the URL, as browsers do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import monotonic

import httpx2
from rich.console import Console

from ..settings import ENV_PREFIX, Settings, load
from ..settings.identity import IdentitySettings
from ..settings.redis import RedisSettings
from ..store.history.demo_past import Writer
from ..store.redis.cluster.embedded import EmbeddedCluster
from ..store.redis.factory import open_link
from . import serve
from .crowd import CHAPTERS, COURSES, Crowd, Viewer
from .past import WEEKS, past

log = logging.getLogger("presence.demo")
STEP_S = 0.5
BATCH = 500  # POST /v1/heartbeats takes up to 1,000
RETRY_S = 2.0


def run(size: int, *, cluster: bool = False) -> None:
    """Serves on loopback until a signal ends it. Redis and identity settings are ignored."""
    # Simulated viewers do not belong in a real Redis, and have no tokens.
    _forget("host", "pages", "root_path", *RedisSettings.model_fields, *IdentitySettings.model_fields)
    os.environ |= {f"{ENV_PREFIX}HOST": "127.0.0.1", f"{ENV_PREFIX}AUTH": "trusted"}
    stop = threading.Event()
    thread: threading.Thread | None = None

    def begin(url: str) -> None:
        nonlocal thread
        asyncio.run(remember(load(), size))
        _invite(url, size)
        thread = threading.Thread(target=_live, args=(url, Crowd(size), stop), daemon=True)
        thread.start()

    try:
        with _masters() if cluster else nullcontext():
            serve.run(on_listening=begin)
    finally:
        stop.set()
        if thread is not None:
            thread.join(timeout=3)


@contextmanager
def _masters() -> Iterator[None]:
    """A Cluster of three embedded servers, whose URL is set in the environment."""
    with (
        tempfile.TemporaryDirectory(prefix="presence-cluster-") as data,
        EmbeddedCluster(Path(data)) as cluster,
    ):
        os.environ[f"{ENV_PREFIX}REDIS_URL"] = cluster.url
        hosts = cluster.url.rpartition("@")[2]
        Console(stderr=True, soft_wrap=True).print(f"a Cluster of three masters runs at {hosts}")
        yield


async def remember(settings: Settings, size: int) -> None:
    """Writes two weeks of history for the courses into an empty Redis."""
    if not settings.history:
        return
    link = open_link(settings)
    now = time.time_ns() // 1_000_000
    try:
        pasts = [
            past(course, size * 0.45 / place, CHAPTERS, now, random.Random(course))
            for place, course in enumerate(COURSES, 1)
        ]
        first = (now - WEEKS * 7 * 86_400_000) // 900_000 * 900_000
        await Writer(link, settings).write(pasts, first, now)
    finally:
        await link.close()


def _forget(*settings: str) -> None:
    names = {f"{ENV_PREFIX}{name.upper()}" for name in settings}
    for name in [name for name in os.environ if name.upper() in names]:
        del os.environ[name]


def _invite(url: str, size: int) -> None:
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    say(f"\nAbout {size} simulated viewers are joining {', '.join(COURSES)}. Open:\n")
    say(f"  [bold]{url}/demo[/]       a course player: be one of the viewers")
    say(f"  [bold]{url}/dashboard[/]  what a creator sees")
    say(f"  [bold]{url}/docs[/]       the HTTP API\n")
    say(f"In another terminal: presence-svc watch {COURSES[0]} --url {url}\nCtrl-C ends it.\n")


def _live(url: str, crowd: Crowd, stop: threading.Event) -> None:
    asyncio.run(live(url, crowd, stop))


async def live(url: str, crowd: Crowd, stop: threading.Event) -> None:
    """Runs the crowd until `stop` is set. What could not be sent is sent with the next step."""
    async with httpx2.AsyncClient(base_url=url, timeout=5) as client:
        while not stop.is_set():
            due, gone = crowd.step(monotonic(), STEP_S)
            try:
                for start in range(0, len(due), BATCH):
                    await _heartbeats(client, due[start : start + BATCH])
                for viewer in gone:
                    await client.post(f"/v1/courses/{viewer.course_id}/leave", json=viewer.leave())
            except httpx2.HTTPError as error:
                if not await asyncio.to_thread(stop.wait, RETRY_S):  # otherwise the service is stopping
                    log.warning(
                        "the simulated viewers could not reach the service: %s",
                        str(error) or type(error).__name__,
                    )
            await asyncio.to_thread(stop.wait, STEP_S)


async def _heartbeats(client: httpx2.AsyncClient, viewers: list[Viewer]) -> None:
    """Sends one batch. Each viewer's next heartbeat is due when its result says so."""
    beats = [{"course_id": viewer.course_id, **viewer.heartbeat()} for viewer in viewers]
    reply = await client.post("/v1/heartbeats", json={"heartbeats": beats})
    reply.raise_for_status()
    now = monotonic()
    for viewer, result in zip(viewers, reply.json()["results"], strict=True):
        viewer.beats_at = now + result.get("next_heartbeat_ms", RETRY_S * 1000) / 1000

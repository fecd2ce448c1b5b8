"""Five hundred courses of three hundred chapters: whatever is read of them, heartbeats go on beside it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from redis.asyncio import Redis

from presence_svc.store import scripts
from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.faults.many_courses import watched_courses
from tests.rig import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

COURSES, CHAPTERS, ASKED = 500, 300, 100
ROUNDS = 3
STEPS = 20  # calls at least, for the chapters of ASKED courses: some 1,300 are counted in one
STEP_MS = 250  # of one call that reads, in the best of some rounds: a busy machine takes ten times its time
READS = {"ZSCAN", "ZCOUNT", "GET", "HGETALL", scripts.COUNT.sha, scripts.VIEWERS.sha, scripts.PEOPLE.sha}
# A viewer in each chapter, as their heartbeats would have left them, with leases of ten minutes.
FILL = """
local t = redis.call('TIME')
local ends = t[1] * 1000 + 600000
for n = 1, tonumber(ARGV[1]) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', ends), 'v' .. n)
  redis.call('ZADD', KEYS[2], string.format('%.0f', n * 4398046511104 + ends), n .. ' v' .. n)
  redis.call('HSET', KEYS[3], 'ch-' .. n, n)
end
redis.call('ZADD', KEYS[4], string.format('%.0f', ends), ARGV[2])
"""


@asynccontextmanager
async def _filled(url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(url) as redis:
        for n in range(COURSES):
            names = [f"presence:{{c{n}}}:{kind}" for kind in ("viewers", "places", "chapters")]
            await redis.eval(FILL, 4, *names, "presence:agenda:0", CHAPTERS, f"c{n}")
        await redis.config_set("slowlog-max-len", 100_000)
        await redis.config_set("slowlog-log-slower-than", 0)
        yield redis


async def _reads(redis: Redis) -> list[tuple[str, float]]:
    """Every call that only reads, and the ms that it took, since the last time."""
    said = [
        (entry["command"].decode(), entry["duration"] / 1_000) for entry in await redis.slowlog_get(100_000)
    ]
    await redis.slowlog_reset()
    return [(words, took_ms) for words, took_ms in said if READS & set(words.split()[:2])]


async def test_reads_of_everything_take_short_steps(
    own_server: EmbeddedServer, spawn_service: SpawnService
) -> None:
    """Totals, pages, 100 counts with all chapters, metrics, keys: 200 each; every heartbeat is taken."""
    env = {"PRESENCE_REDIS_URL": own_server.url, "PRESENCE_REDIS_TIMEOUT": "2"}
    service = await asyncio.to_thread(spawn_service, env)
    ids = "&".join(f"course_id=c{n}" for n in range(ASKED))
    counts_path = f"/v1/counts?{ids}"
    paths = ("/v1/stats", counts_path, f"{counts_path}&chapters=none", "/metrics", "/v1/stats?q=c1")
    names = [f"c{n}" for n in range(0, COURSES, 25)]
    longest_ms: list[float] = []
    async with (
        _filled(own_server.url) as redis,
        httpx2.AsyncClient(base_url=service.url, timeout=30) as client,
        watched_courses(service.url, names, each=1, interval_s=0.5) as courses,
    ):
        for _ in range(ROUNDS):
            await _reads(redis)
            replies = await asyncio.gather(*(client.get(path) for path in paths * 3))
            reads = await _reads(redis)
            longest_ms.append(max(took_ms for _, took_ms in reads))
            assert [reply.status_code for reply in replies] == [200] * len(replies)
            assert sum(scripts.COUNT.sha in words for words, _ in reads) >= STEPS
        stats, counts = replies[0].json(), replies[1].json()["counts"]
        keys = await _keys_of(own_server.url)
        await asyncio.sleep(1)

    assert (stats["courses"], stats["total"] >= COURSES * CHAPTERS) == (COURSES, True)
    assert [len(count["chapters"]) for count in counts] == [CHAPTERS] * ASKED
    assert "presence:{c1}:viewers" in keys
    assert len(courses.answers) > len(names)
    assert {answer.status for answer in courses.answers} == {200}
    print(f"longest read: {', '.join(f'{took:.1f}' for took in longest_ms)} ms")
    assert min(longest_ms) < STEP_MS
    assert "redis is away" not in service.logs()


async def _keys_of(url: str) -> str:
    command = [sys.executable, "-m", "presence_svc", "keys", "c1"]
    process = await asyncio.create_subprocess_exec(
        *command, env={"PRESENCE_REDIS_URL": url, "PYTHONPATH": str(ROOT)}, stdout=PIPE
    )
    said, _ = await process.communicate()
    return said.decode()

"""Many leases that end at once: no long command, no departure lost, nobody alive removed (R12, T4)."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter

import pytest
from redis.asyncio import Redis

from presence_svc.live.sweeper import Sweeper
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.url import connect
from tests.live.eventually import eventually
from tests.rig import Backend
from tests.store.replica import Ear, Replica

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
CROWD = 100_000
CHUNK = 5_000
# What the heartbeats of 100,000 visible viewers in ten chapters would have left, all of one millisecond.
FILL = """
local t = redis.call('TIME')
local ends = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[3])
ends = tonumber(redis.call('GET', KEYS[4]) or ends)
redis.call('SET', KEYS[4], string.format('%.0f', ends), 'PX', 60000)
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local place = n % 10 + 1
  redis.call('ZADD', KEYS[1], string.format('%.0f', ends), 'v' .. n)
  redis.call('ZADD', KEYS[2], string.format('%.0f', place * 4398046511104 + ends), place .. ' v' .. n)
  redis.call('HSET', KEYS[3], 'ch-' .. place, place)
end
redis.call('ZADD', KEYS[5], string.format('%.0f', ends), 'crowd')
return ends
"""


async def test_a_hundred_thousand_expiries_in_one_millisecond(own_server: EmbeddedServer) -> None:
    """R12: SLOWLOG shows no command over 10 ms meanwhile; heartbeats go on, their p99 is printed."""
    admin = Redis.from_url(own_server.url)
    replicas = [Replica(connect(own_server.url, timeout_s=5)) for _ in range(2)]
    sweepers = [Sweeper(r.agenda, r.shared, r.settings) for r in replicas]
    for viewer in range(50):
        await replicas[0].beat(f"live-{viewer}", course="crowd", chapter="ch-1")
    keys = replicas[0].keys.course("crowd")
    names = (keys.viewers, keys.places, keys.chapters, "ends", "presence:agenda:0")
    for start in range(0, CROWD, CHUNK):
        ends = int(await admin.eval(FILL, 5, *names, start, start + CHUNK - 1, 4_000))
    full = await replicas[0].total("crowd")
    await admin.config_set("slowlog-log-slower-than", 10_000)
    await admin.slowlog_reset()
    for sweeper in sweepers:
        sweeper.start()

    took: list[float] = []
    while await replicas[0].now() < ends + 1_500:
        began = perf_counter()
        await replicas[1].beat(f"live-{len(took) % 50}", course="crowd", chapter="ch-1")
        took.append(perf_counter() - began)
        await asyncio.sleep(0.002)
    for key in (keys.viewers, keys.places):  # the second goes on when the first is done
        await eventually("all removed", partial(_holds, admin, key, 50), within_s=20)
    slow = [(entry["duration"], entry["command"][:60]) for entry in await admin.slowlog_get(50)]
    alive = await replicas[0].count("crowd")

    took.sort()
    print(f"100k expiries: {len(took)} heartbeats, p99 {took[int(len(took) * 0.99)] * 1000:.1f} ms,"
          f" max {took[-1] * 1000:.1f} ms")  # fmt: skip
    assert full == CROWD + 50
    assert slow == []
    assert (alive.total, alive.chapters) == (50, {"ch-1": 50})
    for sweeper in sweepers:
        await sweeper.stop()
    for replica in replicas:
        await replica.redis.aclose()
    await admin.aclose()


async def _holds(redis: Redis, key: str, members: int) -> bool:
    return bool(await redis.zcard(key) == members)


async def test_three_racing_sweepers(valkey_backend: Backend) -> None:
    """T4: every 50 ms each, 1,000 expiries in 50 courses: every departure told, nobody alive touched."""
    fast = {"ttl": 2, "hidden_ttl": 4, "heartbeat_interval": 0.9, "leave_grace": 0.2, "sweep_interval": 0.05}
    replicas = [Replica(valkey_backend.client(protocol=2), **fast) for _ in range(3)]
    gone: list[int] = []
    sweepers = [Sweeper(r.agenda, r.shared, r.settings) for r in replicas]
    for replica in replicas:
        replica.agenda.on_removed = gone.append
    courses = [f"c{n}" for n in range(50)]
    async with Ear(valkey_backend.client(protocol=2)) as ear:
        crashed = [(f"crashed-{n}", courses[n % 50]) for n in range(1_000)]
        await asyncio.gather(*(replicas[n % 3].beat(v, course=c) for n, (v, c) in enumerate(crashed)))
        for replica, sweeper in zip(replicas, sweepers, strict=True):
            replica.presence.on_due = sweeper.poke
            sweeper.start()
        for turn in range(10):  # 5 s: two and a half leases
            beats = [(f"alive-{n}", courses[n % 50]) for n in range(500)]
            await asyncio.gather(*(replicas[turn % 3].beat(v, course=c) for v, c in beats))
            await asyncio.sleep(0.4)
            assert sum(count.total for count in await replicas[0].presence.counts(courses)) >= 500
        for sweeper in sweepers:
            await sweeper.stop()
        messages = await ear.hear()

    last = {message["course_id"]: message for message in messages}
    print(f"racing sweepers: {sum(gone)} removed, {len(messages)} messages")
    assert sum(gone) == 1_000
    assert {message["total"] for message in last.values()} == {10}
    assert set(last) == set(courses)

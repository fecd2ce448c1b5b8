"""A master under Sentinels: killed, paused, swapped by hand; writes are back within 2 s of the promotion."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from time import monotonic

import pytest
from redis.exceptions import RedisError

from tests.cluster_rig import Sentinels, sentinels
from tests.conftest import SpawnService
from tests.faults.many_courses import INTERVAL_S, SLOW, Courses, watched_courses
from tests.live.eventually import eventually
from tests.live.sse import Events

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
NAMES = ["a", "b", "c"]
BUSY_S = 1.0


@pytest.fixture
def watched() -> Iterator[Sentinels]:
    """A master, a replica, three Sentinels, passwords of their own."""
    with sentinels() as made:
        yield made


async def _switch(watched: Sentinels, spawn_service: SpawnService, how: str) -> None:
    service = await asyncio.to_thread(spawn_service, {"PRESENCE_REDIS_URL": watched.url, **SLOW})
    async with (
        watched_courses(service.url, NAMES, interval_s=0.5) as courses,
        Events(service.url, "/v1/courses/a/live") as events,
    ):
        await eventually("all there", courses.are_right, within_s=15)
        before, master, began = watched.master_port, watched.master(), monotonic()
        if how == "killed":
            os.kill(master.pid, signal.SIGKILL)
        elif how == "paused":
            os.kill(master.pid, signal.SIGSTOP)
        else:
            await asyncio.to_thread(watched.fail_over)
        try:
            await eventually("promoted", lambda: _promoted(watched, before), within_s=30, every_s=0.02)
            promoted = monotonic()
            await eventually("written again", lambda: _written(courses, promoted), within_s=2 + BUSY_S)
            back_s = monotonic() - promoted
        finally:
            if how == "paused":
                os.kill(master.pid, signal.SIGCONT)
        await eventually("right", courses.are_right, within_s=INTERVAL_S + 5)
        await asyncio.sleep(2)
        during = courses.since(began)
        late = [answer for answer in courses.since(promoted + 2 + BUSY_S) if answer.status != 200]
        await _still_heard(courses, events)
    print(f"sentinel, {how}: promoted after {promoted - began:.2f} s, writes back {back_s:.2f} s later")
    assert {answer.status for answer in during} <= {200, 503}
    assert max(answer.took_s for answer in during) < 0.5 + BUSY_S
    assert late == []
    assert "Traceback" not in service.logs(), service.logs()[-2_000:]
    assert watched.password not in service.logs()
    assert "secret-of-sentinels" not in service.logs()


async def _promoted(watched: Sentinels, before: int) -> bool:
    """The other server says of itself that it is the master."""
    port = next(port for port in watched.ports if port != before)

    def role() -> str:
        try:
            with watched.client(port) as client:
                return str(client.info("replication")["role"])
        except RedisError:  # a Sentinel ends all connections when it makes a master of it
            return ""

    return await asyncio.to_thread(role) == "master"


def _written(courses: Courses, since: float) -> bool:
    return any(answer.status == 200 for answer in courses.since(since))


async def _still_heard(courses: Courses, events: Events) -> None:
    """The subscription has gone over too: a change reaches the stream."""
    async with watched_courses(courses.url, ["a"], each=3, interval_s=0.5):
        await events.until(3, within_s=10)


@pytest.mark.parametrize("how", ["killed", "paused", "by hand"])
async def test_writes_come_back(watched: Sentinels, spawn_service: SpawnService, how: str) -> None:
    """Every answer in time; 2 s after there is another master, all is written and heard there."""
    await _switch(watched, spawn_service, how)

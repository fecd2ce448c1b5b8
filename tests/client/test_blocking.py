"""`watch_sync`: the same changes by a thread, a bounded queue, and a clean end whoever ends it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator

import pytest
from redis import Redis

from presence_svc.client import BlockingWatch, Count, watch_sync
from tests.client.test_changes import CHANNEL, COURSE, _message


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "presence-watch"]


def trusted(redis_url: str) -> Redis:
    """The service has heard heartbeats for long (S11)."""
    redis = Redis.from_url(redis_url)
    redis.set("presence:since", 1)
    return redis


def test_iterates_over_what_is_true_and_each_change(redis_url: str) -> None:
    """S8: a snapshot first, then every change, in the caller's own thread."""
    with trusted(redis_url) as redis, watch_sync(redis_url, COURSE) as counts:
        snapshot = next(counts)
        redis.publish(CHANNEL, _message(20, 2))
        redis.publish(CHANNEL, _message(30, 3))

        assert (snapshot.course_id, snapshot.total) == (COURSE, 0)
        assert [next(counts).total, next(counts).total] == [2, 3]

    assert watchers() == []


def test_a_slow_caller_gets_the_newest(redis_url: str) -> None:
    """The queue is bounded: what is dropped is old, since each Count is the whole truth."""
    with trusted(redis_url) as redis, watch_sync(redis_url, COURSE, waiting=3) as counts:
        next(counts)
        for version in range(1, 51):
            redis.publish(CHANNEL, _message(version, version))
        ends_at = time.monotonic() + 20
        while [count.total for count in counts._heard] != [48, 49, 50]:
            assert time.monotonic() < ends_at
            time.sleep(0.01)

        assert [counts.get(5).total for _ in range(3)] == [48, 49, 50]


def test_waits_as_long_as_it_is_told(redis_url: str) -> None:
    """TimeoutError, and the watch goes on."""
    with trusted(redis_url) as redis, watch_sync(redis_url, COURSE) as counts:
        counts.get(20)
        with pytest.raises(TimeoutError):
            counts.get(0.05)

        redis.publish(CHANNEL, _message(20, 2))
        assert counts.get(20).total == 2


def test_another_thread_may_end_it(redis_url: str) -> None:
    """Whoever waits for a Count stops waiting: the loop just ends."""
    counts = watch_sync(redis_url, COURSE)
    heard: list[int] = []
    waiting = threading.Thread(target=lambda: heard.extend(count.total for count in counts))
    waiting.start()
    ends_at = time.monotonic() + 20
    while not heard:
        assert time.monotonic() < ends_at
        time.sleep(0.01)

    counts.close()
    counts.close()
    waiting.join(20)

    assert not waiting.is_alive()
    assert watchers() == []


def test_it_may_end_before_it_has_begun(redis_url: str) -> None:
    """Also with Redis away: nothing is left running."""
    for url in (redis_url, "redis://127.0.0.1:1"):
        watch_sync(url, COURSE).close()

    assert watchers() == []


def test_what_is_wrong_is_told_where_it_is_waited_for() -> None:
    """A malformed id raises in the caller's thread, at the first Count."""
    with watch_sync("redis://127.0.0.1:1", "a}b") as counts, pytest.raises(ValueError, match="pattern"):
        next(counts)


def test_a_forked_process_is_told_that_it_has_no_watch(redis_url: str) -> None:
    """The thread has stayed with the parent: whoever waited in the child would wait for ever."""
    script = f"""
import os
from presence_svc.client import watch_sync
counts = watch_sync({redis_url!r}, {COURSE!r})
counts.get(20)
child = os.fork()
if child == 0:
    try:
        counts.get(20)
    except RuntimeError as error:
        print(error, flush=True)
    counts.close()
    os._exit(0)
os.waitpid(child, 0)
counts.close()
print("closed", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=25)

    assert done.stdout.splitlines() == [
        "this watch was opened before a fork: open one in this process",
        "closed",
    ], done.stderr


def test_a_bound_there_must_be() -> None:
    """A queue without room would never tell anything."""

    async def nothing() -> AsyncGenerator[Count, None]:
        return
        yield

    with pytest.raises(ValueError, match="at least 1"):
        BlockingWatch(nothing(), 0)

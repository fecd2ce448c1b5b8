"""Server-sent events on real uvicorns: first frame, changes across replicas, bursts, goodbye."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import httpx2
import pytest

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.live.eventually import eventually
from tests.live.sse import Events
from tests.rig import Service

LIVE = "/v1/courses/{}/live"


async def beat(service: Service, course: str, viewer: str, **said: Any) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=service.url, timeout=10) as client:
        reply = await client.post(f"/v1/courses/{course}/heartbeat", json={"viewer_id": viewer, **said})
        assert reply.status_code == 200, reply.text
        body: dict[str, Any] = reply.json()
        return body


async def test_the_first_frame_comes_at_once(one: Service) -> None:
    """A count before any change, with the headers that keep proxies from buffering."""
    await beat(one, "first", "ada", chapter_id="ch-1")
    async with Events(one.url, LIVE.format("first")) as events:
        event, data = await events.next(within_s=2)

    assert (events.status, event) == (200, "count")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert "no-store" in events.headers["cache-control"]
    assert events.headers["x-accel-buffering"] == "no"
    assert (data["course_id"], data["total"], data["chapters"]) == ("first", 1, {"ch-1": 1})
    assert {"named", "anonymous", "version", "as_of", "warming"} <= set(data)


async def test_a_join_at_one_replica_is_seen_at_the_other(one: Service, other: Service) -> None:
    """S10: join, move and leave go to one, the stream hangs on the other."""
    async with Events(other.url, LIVE.format("across")) as events:
        await events.until(0)
        await beat(one, "across", "ada", chapter_id="ch-1", hidden=True)
        joined = await events.until(1)
        await beat(one, "across", "ada", chapter_id="ch-2", hidden=True)
        while (moved := await events.count())["chapters"] != {"ch-2": 1}:
            assert moved["total"] == 1
        async with httpx2.AsyncClient(base_url=one.url) as client:
            await client.post("/v1/courses/across/leave", json={"viewer_id": "ada"})
        left = await events.until(0)

    assert joined["chapters"] == {"ch-1": 1}
    assert joined["version"] < moved["version"] < left["version"]


async def test_a_crash_is_published_after_the_lease(one: Service, other: Service) -> None:
    """S9: not before the lease ends, and within 1.5 s after it, by Redis's own clock."""
    async with Events(other.url, LIVE.format("crash")) as events:
        await events.until(0)
        done = await beat(one, "crash", "ada")
        await events.until(1)
        gone = await events.until(0)

    assert 0 <= gone["as_of"] - done["expires_at"] <= 1_500


async def test_a_burst_coalesces(one: Service, other: Service) -> None:
    """S8: 300 joins through two replicas: fewer than 30 messages, and the last says 300."""
    async with (
        Events(other.url, LIVE.format("burst")) as events,
        httpx2.AsyncClient(timeout=10) as client,
    ):
        await events.until(0)
        before = len(events.seen)
        urls = [f"{service.url}/v1/courses/burst/heartbeat" for service in (one, other)]
        beats = (client.post(urls[n % 2], json={"viewer_id": f"v{n}", "hidden": True}) for n in range(300))
        replies = await asyncio.gather(*beats)
        last = await events.until(300)

    assert {reply.status_code for reply in replies} == {200}
    assert last["total"] == 300
    assert len(events.seen) - before < 30


async def test_names_come_with_viewers(one: Service, other: Service) -> None:
    """`viewers=2`: an event with the most recent names, again at each change."""
    await beat(one, "names", "ada", name="Ada", hidden=True)
    async with Events(other.url, LIVE.format("names") + "?viewers=2") as events:
        while (found := await events.next())[0] != "viewers":
            pass
        first = found[1]
        await beat(one, "names", "bob", name="Bob", hidden=True)
        while found[0] != "viewers" or found[1]["total"] != 2:
            found = await events.next()

    assert [viewer["name"] for viewer in first["viewers"]] == ["Ada"]
    assert [viewer["viewer_id"] for viewer in found[1]["viewers"]] == ["bob", "ada"]
    assert set(found[1]) == {"course_id", "viewers", "total", "version"}


async def test_a_catalogue_stream(one: Service, other: Service) -> None:
    """Many courses on one stream: a first frame for each, then only what changes."""
    async with Events(other.url, "/v1/live?course_id=cat1&course_id=cat2&course_id=cat1") as events:
        first = [(await events.count())["course_id"] for _ in range(2)]
        await beat(one, "cat2", "ada", hidden=True)
        changed = await events.until(1)

    assert sorted(first) == ["cat1", "cat2"]
    assert changed["course_id"] == "cat2"


async def test_many_streams_of_a_course(one: Service, other: Service) -> None:
    """A hundred streams on one replica each get the change."""
    async with asyncio.TaskGroup() as group:
        ready, watchers = [], []
        for _ in range(100):
            seen: asyncio.Event = asyncio.Event()
            ready.append(seen)
            watchers.append(group.create_task(_watch(other, "many", seen)))
        await asyncio.gather(*(seen.wait() for seen in ready))
        await beat(one, "many", "ada", hidden=True)

    assert {watcher.result() for watcher in watchers} == {1}


async def _watch(service: Service, course: str, ready: asyncio.Event) -> int:
    async with Events(service.url, LIVE.format(course)) as events:
        await events.until(0)
        ready.set()
        return int((await events.until(1))["total"])


async def test_a_stream_that_goes_leaves_nothing(one: Service) -> None:
    """A client that hangs up is taken off at once: the gauge is back."""
    before = await _streams(one)
    async with Events(one.url, LIVE.format("gone")) as events:
        await events.count()
        during = await _streams(one)
    await eventually("the stream is gone", lambda: _streams_are(one, before))

    assert during == before + 1


async def _streams(service: Service) -> float:
    async with httpx2.AsyncClient(base_url=service.url) as client:
        text = (await client.get("/metrics")).text
    return float(next(line for line in text.splitlines() if line.startswith("presence_streams ")).split()[1])


async def _streams_are(service: Service, expected: float) -> bool:
    return await _streams(service) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_goodbye_on_shutdown(server: EmbeddedServer, number: int) -> None:
    """Every open stream gets `bye` with a pause to wait and a clean end; the process exits within 10 s."""
    with Service({"PRESENCE_REDIS_URL": server.url}) as service:
        streams = [Events(service.url, LIVE.format(f"bye-{n % 3}")) for n in range(20)]
        for stream in streams:
            await stream.__aenter__()
            await stream.count()
        ended = asyncio.create_task(asyncio.to_thread(service.terminate, number))
        names = await asyncio.gather(*(stream.to_the_end() for stream in streams))
        status = await asyncio.wait_for(ended, 10)
        log = service.logs()
        for stream in streams:
            await stream.__aexit__()

    assert status == 0
    assert {tuple(seen[-2:]) for seen in names} == {("bye", "end")}
    assert all(500 <= stream.retry_ms <= 5_000 for stream in streams)
    assert len({stream.retry_ms for stream in streams}) > 5
    assert "Traceback" not in log


async def test_too_many_streams(server: EmbeddedServer) -> None:
    """Beyond the limit: 429 with Retry-After; when one goes there is room again."""
    with Service({"PRESENCE_REDIS_URL": server.url, "PRESENCE_STREAMS_LIMIT": "2"}) as service:
        async with Events(service.url, LIVE.format("x")) as first:
            await first.count()
            async with Events(service.url, LIVE.format("x")) as second:
                await second.count()
                async with Events(service.url, LIVE.format("x")) as third:
                    refused = third.status, third.headers["retry-after"]
        await eventually("room again", lambda: _opens(service))

    assert refused[0] == 429
    assert 5 <= int(refused[1]) <= 15


async def _opens(service: Service) -> bool:
    async with Events(service.url, LIVE.format("x")) as events:
        return events.status == 200


async def test_a_head_of_a_stream_takes_no_place(server: EmbeddedServer) -> None:
    """Health checks and link checkers ask so: headers, an end, and no stream that is left open."""
    env = {"PRESENCE_REDIS_URL": server.url, "PRESENCE_KEY_PREFIX": "head", "PRESENCE_STREAMS_LIMIT": "2"}
    with Service(env) as service:
        async with httpx2.AsyncClient(base_url=service.url, timeout=10) as client:
            for path in (LIVE.format("head"), "/v1/live?course_id=head"):
                for _ in range(5):
                    reply = await client.head(path)
                    assert (reply.status_code, reply.content) == (200, b"")
                    assert reply.headers["content-type"].startswith("text/event-stream")
        async with (
            Events(service.url, LIVE.format("head")) as one,
            Events(service.url, LIVE.format("head")) as two,
        ):
            assert [one.status, two.status] == [200, 200]


async def test_a_lifetime_ends_with_goodbye(server: EmbeddedServer) -> None:
    """A stream ends after its lifetime, cleanly: the reader comes back, perhaps to another replica."""
    env = {"PRESENCE_REDIS_URL": server.url, "PRESENCE_STREAM_LIFETIME": "0.5"}
    with Service(env) as service:
        async with Events(service.url, LIVE.format("short")) as events:
            await events.count()
            # Between frames a stream sleeps until its keep-alive: a change wakes it.
            await asyncio.sleep(0.7)
            await beat(service, "short", "ada")
            seen = await events.to_the_end()

    assert seen[-2:] == ["bye", "end"]


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_quiet_stream_is_kept_alive(one: Service) -> None:
    """A comment after 15 s of silence, so that no proxy takes the stream for dead."""
    async with Events(one.url, LIVE.format("quiet")) as events:
        while (await events.next(within_s=18))[0] == "count":
            pass

    assert events.seen[-1] == ("", {})

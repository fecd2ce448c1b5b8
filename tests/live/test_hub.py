"""Local fan-out: one read and one subscription per course, the latest frame only, the truth after losses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from presence_svc.live.hub import Hub
from presence_svc.live.listener import Listener
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.url import connect
from presence_svc.store.shared import WarmState
from tests.live.eventually import eventually
from tests.live.proxy import Proxy
from tests.rig import Backend
from tests.store.replica import Replica

WAIT_S = 5.0


@pytest.fixture
def replica(valkey_backend: Backend) -> Replica:
    return Replica(valkey_backend.client(protocol=2))


@pytest.fixture
async def hub(replica: Replica) -> AsyncIterator[Hub]:
    made = Hub(replica.presence, replica.rosters, replica.people)
    made.start()
    yield made
    made.close()
    await made.stop()


class Stream:
    """Reads a listener as web.sse.endpoint does, and remembers each course's latest count."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.counts: dict[str, dict[str, Any]] = {}
        self.viewers: list[str] = []
        self.frames: list[dict[str, Any]] = []

    async def read(self) -> Stream:
        """Takes the next block. Raises AssertionError when none comes."""
        block = await self.listener.wait(WAIT_S)
        assert block, "no frame came"
        for frame in block.decode().strip().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in frame.split("\n"))
            data = orjson.loads(lines["data"])
            if lines["event"] == "count":
                assert int(lines["id"]) == data["version"]
                self.counts[data["course_id"]] = data
                self.frames.append(data)
            else:
                self.viewers = [viewer["viewer_id"] for viewer in data["viewers"]]
        return self

    async def until(self, total: int, course: str = "c1") -> None:
        """Reads on until the course has this total."""
        async with asyncio.timeout(WAIT_S):
            while self.counts.get(course, {}).get("total") != total:
                await self.read()


async def test_the_first_frame_is_what_is_true(replica: Replica, hub: Hub) -> None:
    """A new stream learns the count at once, without any change."""
    await replica.beat("ada", chapter="ch-1")
    stream = await Stream(hub.attach(("c1",), 0)).read()

    assert stream.counts["c1"]["total"] == 1
    assert stream.counts["c1"]["chapters"] == {"ch-1": 1}


async def test_changes_arrive(replica: Replica, hub: Hub) -> None:
    """S8: a join, a move and a leave each reach every stream of the course, and no other."""
    streams = [Stream(hub.attach(("c1",), 0)) for _ in range(3)]
    bystander = Stream(hub.attach(("c2",), 0))
    for stream in (*streams, bystander):
        await stream.read()
    await replica.beat("ada", chapter="ch-1")
    for stream in streams:
        await stream.until(1)
    await replica.leave("ada")
    await replica.settle()
    for stream in streams:
        await stream.until(0)

    assert bystander.counts["c2"]["total"] == 0
    assert len(bystander.frames) == 1


async def test_a_catalogue_gets_every_course(replica: Replica, hub: Hub) -> None:
    """One mailbox for many courses: each course's latest count."""
    courses = tuple(f"c{n}" for n in range(10))
    stream = Stream(hub.attach(courses, 0))
    await eventually("all first frames", lambda: len(stream.listener._frames) == 10)
    await stream.read()
    for course in courses[::2]:
        await replica.beat("ada", course=course)
    for course in courses[::2]:
        await stream.until(1, course)

    assert set(stream.counts) == set(courses)


async def test_a_slow_reader_finds_the_latest_only(replica: Replica, hub: Hub) -> None:
    """Fifty changes while a stream does not read: one frame of each kind, the newest."""
    stream = Stream(hub.attach(("c1",), 5))
    await eventually("first frames", lambda: len(stream.listener._frames) == 2)
    for n in range(50):
        await replica.beat(f"v{n}")
        await replica.pass_time(251)
    await eventually("the last change", lambda: _offered(stream.listener, 50))

    assert len(stream.listener._frames) == 2
    await stream.read()
    assert [frame["total"] for frame in stream.frames] == [50]


def _offered(listener: Listener, total: int) -> bool:
    frame = listener._frames.get("count c1")
    return frame is not None and f'"total":{total},' in frame.message


async def test_names_are_read_for_those_who_want_them(replica: Replica, hub: Hub) -> None:
    """`viewers=2` gets the two heard last, `viewers=0` none."""
    for viewer in ("ada", "bob", "cleo"):
        await replica.beat(viewer)
        await replica.pass_time(1_000)
    curious, plain = Stream(hub.attach(("c1",), 2)), Stream(hub.attach(("c1",), 0))
    await plain.read()
    await curious.read()
    while not curious.viewers:
        await curious.read()

    assert curious.viewers == ["cleo", "bob"]
    assert plain.viewers == []


async def test_names_follow_changes(replica: Replica, hub: Hub) -> None:
    """A join shows up among the names too."""
    stream = Stream(hub.attach(("c1",), 5))
    await stream.read()
    await replica.beat("ada")
    async with asyncio.timeout(WAIT_S):
        while stream.viewers != ["ada"]:
            await stream.read()


async def test_a_feed_lives_as_long_as_its_listeners(replica: Replica, hub: Hub) -> None:
    """The last listener gone: no feed, no subscription; a new one starts with the truth again."""
    first = Stream(hub.attach(("c1",), 0))
    await first.read()
    await eventually("subscribed", lambda: _subscribers(replica, 1))
    hub.detach(first.listener)
    await eventually("unsubscribed", lambda: _subscribers(replica, 0))
    await replica.beat("ada")
    second = await Stream(hub.attach(("c1",), 0)).read()

    assert second.counts["c1"]["total"] == 1
    assert set(hub._feeds) == {"c1"}


async def _subscribers(replica: Replica, expected: int) -> bool:
    ((_, number),) = await replica.redis.pubsub_numsub("presence:{c1}:changes")
    return bool(number == expected)


async def test_many_listeners_share_one_subscription(replica: Replica, hub: Hub) -> None:
    """One subscription per replica and course, however many listen."""
    streams = [Stream(hub.attach(("c1",), 0)) for _ in range(200)]
    await streams[-1].read()
    await eventually("subscribed once", lambda: _subscribers(replica, 1))
    await replica.beat("ada")
    for stream in streams:
        await stream.until(1)


async def test_a_newcomer_needs_no_read_of_its_own(replica: Replica, hub: Hub) -> None:
    """Redis goes away just as a stream opens on a course that others watch: it sees what they see."""
    await replica.beat("ada")
    first = await Stream(hub.attach(("c1",), 0)).read()
    replica.node.health.away = True
    second = await Stream(hub.attach(("c1",), 0)).read()
    replica.node.health.away = False

    assert second.counts["c1"] == first.counts["c1"]


async def test_a_newcomer_sees_what_is_not_told_yet(replica: Replica, hub: Hub) -> None:
    """S4: a stream begins with what is true now; those who were there may wait for PUBLISH_INTERVAL."""
    stream = await Stream(hub.attach(("c1",), 0)).read()
    await replica.beat("ada")
    await stream.until(1)
    await replica.beat("bob")
    newcomer = await Stream(hub.attach(("c1",), 0)).read()

    assert newcomer.counts["c1"]["total"] == 2


async def test_a_newcomer_does_not_wait_for_a_slow_read(
    replica: Replica, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first frame comes in its time: what others see, when Redis takes longer."""

    async def never(courses: tuple[str, ...]) -> None:
        await asyncio.Event().wait()

    await replica.beat("ada")
    first = await Stream(hub.attach(("c1",), 0)).read()
    monkeypatch.setattr(replica.presence, "counts_or_errors", never)
    second = await Stream(hub.attach(("c1",), 0)).read()

    assert second.counts["c1"] == first.counts["c1"]


async def test_an_old_message_changes_nothing(replica: Replica, hub: Hub) -> None:
    """S8: a message from before what a stream has seen is dropped."""
    await replica.beat("ada")
    stream = await Stream(hub.attach(("c1",), 0)).read()
    await eventually("subscribed", lambda: _subscribers(replica, 1))
    now = stream.counts["c1"]
    old = {"type": "count", **now, "total": 99, "version": now["version"] - 1, "as_of": now["as_of"] - 1}
    old.pop("warming")
    await replica.redis.publish("presence:{c1}:changes", orjson.dumps(old))
    await replica.redis.publish("presence:{c1}:changes", b"not json")
    await replica.pass_time(251)
    await replica.beat("bob")
    await stream.until(2)

    assert [frame["total"] for frame in stream.frames] == [1, 2]


async def test_a_loss_of_all_data_is_told(replica: Replica, hub: Hub) -> None:
    """S8, S11: after an empty restart what is read is believed, and versions do not fall."""
    await replica.beat("ada")
    stream = await Stream(hub.attach(("c1",), 0)).read()
    before = stream.counts["c1"]["version"]
    await asyncio.sleep(0.005)  # of two reads in a millisecond the lower version counts as older
    await replica.redis.flushall()
    hub.on_warm_state(WarmState(0, 0, frozenset({0})))
    await stream.until(0)

    assert stream.counts["c1"]["version"] >= before


async def test_the_end_of_warming_is_told(replica: Replica, hub: Hub) -> None:
    """S11: badges that held their number back learn when reads can be trusted."""
    stream = await Stream(hub.attach(("c1",), 0)).read()
    first = stream.counts["c1"]["warming"]
    for _ in range(4):
        await replica.shared.refresh()
        await replica.pass_time(20_001)
    hub.on_warm_state(await replica.shared.refresh())
    await stream.read()

    assert (first, stream.counts["c1"]["warming"]) == (True, False)


async def test_a_redis_that_restarts_empty_is_not_trusted_before_a_pulse(own_server: EmbeddedServer) -> None:
    """S11: viewers come back one by one; the message about the first of them says `warming`, as reads do."""
    replica = Replica(connect(own_server.url, timeout_s=5))
    hub = Hub(replica.presence, replica.rosters, replica.people)
    lost: list[int] = []
    hub.on_lost = lambda: lost.append(1)
    hub.start()
    stream = await Stream(hub.attach(("c1",), 0)).read()
    hub.on_warm_state(WarmState(0, 0, frozenset({0})))
    own_server.stop()
    await eventually("the loss is noticed", lambda: lost)
    own_server.start()
    await replica.redis.connection_pool.disconnect()
    await eventually("subscribed", lambda: _subscribers(replica, 1), within_s=12)
    await eventually("the link is back", lambda: not replica.link.away)

    await replica.beat("ada")
    await stream.until(1)

    assert [frame["warming"] for frame in stream.frames if frame["total"]] == [True]
    hub.close()
    await hub.stop()
    await replica.presence.close()
    await replica.redis.aclose()


async def test_closing_rings_every_stream(hub: Hub) -> None:
    """Shutdown: streams that wait and streams that open now are told at once."""
    waiting = hub.attach(("c1",), 0)
    await waiting.wait(WAIT_S)
    told = asyncio.ensure_future(waiting.wait(60))
    await asyncio.sleep(0)
    hub.close()
    await asyncio.wait_for(told, WAIT_S)

    assert waiting.closing
    assert hub.attach(("c1",), 0).closing


@pytest.mark.parametrize("fault", ["killed", "cut", "deaf"])
async def test_a_lost_subscription_reads_again(own_server: EmbeddedServer, fault: str) -> None:
    """R9, R10: the connection is killed, reset or falls silent: what changed meanwhile still arrives."""
    async with Proxy(own_server.url) as proxy:
        outside, inside = connect(own_server.url, timeout_s=5), connect(proxy.url, timeout_s=1)
        writer, reader = Replica(outside), Replica(inside)
        hub = Hub(reader.presence, reader.rosters, reader.people)
        lost: list[int] = []
        hub.on_lost = lambda: lost.append(1)
        hub.start()
        stream = await Stream(hub.attach(("c1",), 0)).read()
        await eventually("subscribed", lambda: _subscribers(writer, 1))

        if fault == "killed":
            await outside.client_kill_filter(_type="pubsub")
        elif fault == "cut":
            proxy.cut()
        else:
            proxy.swallow_replies = True
        await writer.beat("ada")
        if fault == "deaf":
            await eventually("the silence is noticed", lambda: lost, within_s=12)
            proxy.swallow_replies = False
        async with asyncio.timeout(12):
            while stream.counts["c1"]["total"] != 1:
                await stream.read()

        assert lost
        hub.close()
        await hub.stop()
        await writer.presence.close()
        for replica in (writer, reader):
            await replica.redis.aclose()

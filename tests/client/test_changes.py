"""The public iterator over changes: a snapshot first, then every change, whatever happens to Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, cast

import orjson
import pytest
from redis.asyncio import Redis

from presence_svc.client import Count, watch, watcher
from presence_svc.live import subscriber
from presence_svc.model import Heartbeat, Leave
from presence_svc.settings import Settings, load
from presence_svc.store.agenda import Agenda
from presence_svc.store.presence import Presence
from presence_svc.store.redis.embedded import EmbeddedServer
from presence_svc.store.redis.factory import open_link
from presence_svc.store.shared import Shared
from presence_svc.store.write import HeartbeatWrite, LeaveWrite
from tests.rig import Backend

COURSE = "python-101"
CHANNEL = f"presence:{{{COURSE}}}:changes"


class Changes:
    """A watch whose next change is awaited with a deadline."""

    def __init__(self, url: str, **options: Any) -> None:
        self._counts = cast(AsyncGenerator[Count, None], watch(url, COURSE, **options))

    async def next(self, seconds: float = 5) -> Count:
        async with asyncio.timeout(seconds):
            return await anext(self._counts)

    async def until(self, total: int) -> Count:
        """The first change with this total; what came before it is of no interest."""
        async with asyncio.timeout(10):
            while (count := await anext(self._counts)).total != total:
                pass
        return count

    async def aclose(self) -> None:
        await self._counts.aclose()


class Replica:
    """What a replica does to Redis, without HTTP: it records, and keeps the mark of S11 alive."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._link = open_link(settings)
        self._presence = Presence(self._link, settings)

    async def arrive(self, *viewers: str) -> None:
        writes = [
            HeartbeatWrite(COURSE, viewer, Heartbeat(viewer_id=viewer, chapter_id="ch-1"))
            for viewer in viewers
        ]
        await asyncio.gather(*map(self._presence.heartbeat, writes))

    async def leave(self, viewer: str) -> None:
        await self._presence.leave(LeaveWrite(COURSE, viewer, Leave(viewer_id=viewer)))

    async def sweep(self) -> None:
        await Agenda(self._link, self._settings).sweep([COURSE])

    async def pulse(self) -> None:
        await Shared(self._link, self._settings).refresh()

    async def aclose(self) -> None:
        await self._presence.close()
        await self._link.close()


@asynccontextmanager
async def _replica(url: str, **options: object) -> AsyncIterator[Replica]:
    async with aclosing(Replica(load(redis_url=url, publish_interval=0.01, **options))) as replica:
        yield replica


def _message(version: int, total: int) -> bytes:
    return orjson.dumps(
        {
            "type": "count",
            "course_id": COURSE,
            "total": total,
            "named": total,
            "anonymous": 0,
            "chapters": {},
            "version": version,
            "as_of": version,
        }
    )


async def _tell(redis: Redis, version: int, total: int) -> None:
    await redis.publish(CHANNEL, _message(version, total))


async def _heard(redis: Redis) -> None:
    """Lets the course's reads be trusted: the service has heard heartbeats for long (S11)."""
    await redis.set("presence:since", 1)


async def test_starts_with_what_is_true_and_goes_on_with_each_change(redis_url: str) -> None:
    """A watcher that comes late gets a snapshot, then every arrival and every leave (S8)."""
    async with _replica(redis_url) as replica:
        await replica.arrive("ada", "bob")

        async with aclosing(Changes(redis_url)) as changes:
            snapshot = await changes.next()
            assert (snapshot.course_id, snapshot.total) == (COURSE, 2)
            assert snapshot.chapters == {"ch-1": 2}

            await asyncio.sleep(0.02)
            await replica.arrive("eve")
            assert (await changes.until(3)).chapters == {"ch-1": 3}

            await asyncio.sleep(0.02)
            await replica.leave("bob")
            assert (await changes.until(2)).version > snapshot.version


async def test_the_key_prefix_is_part_of_the_address(redis_url: str) -> None:
    """Two services on one Redis keep apart by their prefix."""
    async with (
        _replica(redis_url, key_prefix="other") as replica,
        aclosing(Changes(redis_url)) as ours,
        aclosing(Changes(redis_url, key_prefix="other")) as theirs,
    ):
        await replica.arrive("ada")

        assert (await theirs.until(1)).total == 1
        assert (await ours.next()).total == 0


async def test_survives_a_restart_of_redis_with_all_data_lost(own_server: EmbeddedServer) -> None:
    """After kill -9 and an empty start the watcher is told the new truth, in growing versions."""
    async with aclosing(Changes(own_server.url)) as changes:
        async with _replica(own_server.url) as replica:
            await changes.next()
            await replica.arrive("ada", "bob", "eve")
            before = await changes.until(3)

        os.kill(own_server.pid, signal.SIGKILL)
        await asyncio.to_thread(own_server.start)

        lost = await changes.until(0)
        assert lost.warming, "a number after a loss must not be taken for the truth (S11)"
        async with _replica(own_server.url) as replica:
            await replica.arrive("ada")
            after = await changes.until(1)
        assert before.version <= lost.version < after.version


async def test_says_when_reads_can_be_trusted_again(
    own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While warming, each sign of life makes the watcher read again: the end of it is a change."""
    monkeypatch.setattr(watcher, "PING_S", 0.1)
    async with _replica(own_server.url) as replica, aclosing(Changes(own_server.url)) as changes:
        await replica.pulse()
        await replica.arrive("ada")
        assert (await changes.until(1)).warming

        async with Redis.from_url(own_server.url) as redis:
            await _heard(redis)

        settled = await changes.next()
        assert (settled.total, settled.warming) == (1, False)


async def test_never_goes_back_to_an_older_version(valkey_backend: Backend) -> None:
    """A message that was overtaken is dropped, and so is one that comes twice."""
    redis = valkey_backend.client()
    await _heard(redis)
    async with aclosing(Changes(str(valkey_backend.url))) as changes:
        await changes.next()

        for version, total in ((20, 2), (10, 1), (20, 2), (30, 3)):
            await _tell(redis, version, total)

        assert [(await changes.next()).version for _ in range(2)] == [20, 30]


async def test_a_forgotten_version_does_not_fall_back(valkey_backend: Backend) -> None:
    """A lost subscription reads again; what Redis does not remember keeps the version it had."""
    redis = valkey_backend.client()
    await _heard(redis)
    async with aclosing(Changes(str(valkey_backend.url))) as changes:
        await changes.next()
        await _tell(redis, 1_000, 7)
        assert (await changes.next()).total == 7

        await redis.client_kill_filter(_type="pubsub")

        read = await changes.next()
        assert (read.total, read.version) == (0, 1_000)
        await _tell(redis, 5, 1)  # Redis counts anew after its loss
        assert ((await changes.next()).total, read.version) == (1, 1_000)


async def test_a_silent_subscription_is_noticed(
    own_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that takes bytes and answers none is given up at the deadline of a ping."""
    monkeypatch.setattr(subscriber, "PING_S", 0.1)
    monkeypatch.setattr(subscriber, "SILENCE_S", 0.3)
    async with (
        Mute(own_server.url.removeprefix("unix://")) as mute,
        aclosing(Changes(mute.url)) as changes,
    ):
        await changes.next()
        before = mute.connections
        mute.silence()

        async with _replica(own_server.url) as replica:
            await replica.arrive("ada")

        assert (await changes.until(1)).total == 1
        assert mute.connections > before


async def test_a_malformed_course_is_refused() -> None:
    """An id that could break out of a key does not reach Redis."""
    with pytest.raises(ValueError, match="pattern"):
        await anext(aiter(watch("redis://127.0.0.1:1", "a}b")))


class Mute:
    """A way to a server that can fall silent: open connections go on taking bytes, and lose them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._muted: list[asyncio.Event] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.url = ""

    async def __aenter__(self) -> Mute:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(ConnectionError):
                await writer.wait_closed()

    def silence(self) -> None:
        """Every connection that is open now; new ones are served."""
        for muted in self._muted:
            muted.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        muted = asyncio.Event()
        self._muted.append(muted)
        self._writers.append(writer)
        there_reader, there_writer = await asyncio.open_unix_connection(self._path)
        self._writers.append(there_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, there_writer, muted))
                group.create_task(_pump(there_reader, writer, muted))
        except* ConnectionError:
            pass
        finally:
            writer.close()
            there_writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, muted: asyncio.Event) -> None:
    while data := await source.read(65_536):
        if not muted.is_set():
            sink.write(data)
            await sink.drain()
    if not muted.is_set():
        sink.close()

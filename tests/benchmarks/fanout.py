"""What a frame to each of very many listeners costs a replica, and what a listener and a socket take.

Frames are caused by a message on the course's channel, so that nothing but the fan-out is measured.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from urllib.request import Request, urlopen

from redis import Redis

from presence_svc.store.keys import Keys
from tests.benchmarks import peers, process
from tests.benchmarks.browser import Crowd, Sockets
from tests.benchmarks.row import Figure, Missing, Scale

COURSE = "course-0"
PATH = f"/v1/courses/{COURSE}/live"
PAUSE_S = 0.05
FIRST_FEW = 50
Say = Callable[[int], None]


def message(version: int) -> bytes:
    """A count as the scripts publish it."""
    count = {"type": "count", "course_id": COURSE, "total": version % 1000, "named": version % 1000}
    chapters = {f"ch-{n}": version % 100 for n in range(8)}
    rest = {"anonymous": 0, "chapters": chapters, "version": version, "as_of": version}
    return json.dumps(count | rest, separators=(",", ":")).encode()


class Audience:
    """A server, its listeners, and the way to make it write a frame to each."""

    def __init__(self, crowd: Crowd, listeners: int, pid: int, say: Say) -> None:
        self._crowd, self._listeners, self._pid, self._say = crowd, listeners, pid, say
        self._version = int(time.time() * 1000) + 1_000_000

    def cost_us(self, frames: int) -> float:
        """The server's processor time per frame and listener."""
        before = process.cpu_s(self._pid)
        for _ in range(frames):
            self._version += 1
            self._say(self._version)
            self._crowd.gather(b'"version":%d' % self._version, self._listeners)
            time.sleep(PAUSE_S)
        return (process.cpu_s(self._pid) - before) / frames / self._listeners * 1e6


@contextmanager
def ours(listeners: int, env: Mapping[str, str] | None = None) -> Iterator[Audience]:
    with (
        process.redis() as (_, url),
        process.service(url, env) as service,
        Crowd(service.port, PATH) as crowd,
        Redis.from_url(url) as client,
    ):
        crowd.grow(listeners)
        channel = Keys("presence").channel(COURSE)

        def say(version: int) -> None:
            client.publish(channel, message(version))

        yield Audience(crowd, listeners, service.pid, say)


@contextmanager
def bare(listeners: int) -> Iterator[Audience]:
    with (
        peers.writer() as server,
        Crowd(server.port, PATH) as crowd,
        socket.create_connection(("127.0.0.1", server.port)) as control,
    ):
        crowd.grow(listeners)

        def say(version: int) -> None:
            control.sendall(b"event: count\nid: %d\ndata: %b\n\n" % (version, message(version)))

        yield Audience(crowd, listeners, server.pid, say)


@contextmanager
def nchan(listeners: int) -> Iterator[Audience]:
    with peers.nchan() as server, Crowd(server.port, "/listen") as crowd:
        crowd.grow(listeners, hello=b"HTTP/1.1 200")

        def say(version: int) -> None:
            request = Request(f"{server.url}/publish", message(version), method="POST")  # noqa: S310
            urlopen(request, timeout=5).close()  # noqa: S310 - loopback

        yield Audience(crowd, listeners, server.pid, say)


def frames(scale: Scale) -> list[Figure]:
    """Ours and, where it is installed, nchan: each round beside the bare writer's."""
    with ExitStack() as stack:
        least = stack.enter_context(bare(scale.listeners))
        sides = {"frame / bare write": stack.enter_context(ours(scale.listeners))}
        try:
            sides["nchan / bare write"] = stack.enter_context(nchan(scale.listeners))
        except Missing:
            sides.pop("nchan / bare write", None)
        rounds = [
            (least.cost_us(scale.frames), {name: side.cost_us(scale.frames) for name, side in sides.items()})
            for _ in range(scale.rounds)
        ]
    figures = [
        Figure(name, [costs[name] / base for base, costs in rounds], "" if "nchan" in name else "<= 1.3")
        for name in sides
    ]
    own = [costs["frame / bare write"] for _, costs in rounds]
    return [*figures, Figure("frame to one listener", own, "", "us")]


def memory(scale: Scale) -> list[Figure]:
    """What the resident memory of a replica grows by with each listener."""
    return _memory(scale, Crowd, PATH, "listeners")


def sockets_memory(scale: Scale) -> list[Figure]:
    """The same with each WebSocket, whose viewer is present by it. Fewer: nobody here answers pings."""
    return _memory(
        scale._replace(listeners=max(1, scale.listeners // 4)), Sockets, f"/v1/courses/{COURSE}/ws", "sockets"
    )


def _memory(scale: Scale, kind: type[Crowd], path: str, what: str) -> list[Figure]:
    with (
        process.redis() as (_, url),
        process.service(url) as service,
        kind(service.port, path) as crowd,
    ):
        crowd.grow(min(FIRST_FEW, scale.listeners))
        sizes = []
        for _ in range(scale.rounds):
            before = process.rss_bytes(service.pid)
            crowd.grow(scale.listeners)
            sizes.append((process.rss_bytes(service.pid) - before) / scale.listeners / 1024)
    return [Figure(f"{scale.listeners:,} {what}", sizes, "halved from its first value", "KiB")]

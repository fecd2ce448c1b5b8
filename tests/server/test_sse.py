"""A stream's own connection: frames at once, only the newest for the slow, an end to every wait (L3)."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httpx2
import pytest

from presence_svc.auth.caller import PUBLIC
from presence_svc.live.frame import count_frame
from presence_svc.live.listener import Listener
from presence_svc.model import Count
from presence_svc.server.sse import LAST_CHUNK, SseProtocol
from presence_svc.settings import load
from presence_svc.web.services import Services as Parts
from presence_svc.web.sse.stream import Stream
from tests.rig import Service


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.ended = ""
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Books:
    """What a stream is taken off at its end."""

    def __init__(self, **settings: Any) -> None:
        self.settings = load(**settings)
        self.hub = self.metrics = self.streams = self.capacity = self
        self.closed: list[str] = []

    def inc(self) -> None:
        self.closed.append("counted")

    def dec(self) -> None:
        self.closed.append("uncounted")

    def give_back(self) -> None:
        self.closed.append("place given back")

    def detach(self, listener: Listener) -> None:
        self.closed.append("detached")


class Stage:
    def __init__(self, ping_s: int = 15, **settings: Any) -> None:
        self.books, self.wire, self.connections = Books(**settings), Wire(), set[Any]()
        self.listener = Listener(("c1",), 0)
        give_back = lambda: self.books.closed.append("given back")  # noqa: E731
        stream = Stream(cast(Parts, self.books), PUBLIC, self.listener, give_back, ping_s)
        SseProtocol(cast(asyncio.Transport, self.wire), self.connections, stream)

    @property
    def protocol(self) -> SseProtocol:
        return cast(SseProtocol, self.wire.protocol)

    def tell(self, total: int) -> None:
        rest = {"named": total, "anonymous": 0, "chapters": {}, "as_of": 1, "warming": False}
        count = Count.model_validate({"course_id": "c1", "total": total, "version": total, **rest})
        self.listener.offer(count_frame(count, count.chapters))

    def totals(self) -> list[int]:
        """The totals written so far."""
        text = b"".join(self.wire.written).decode()
        return [int(part.split(",")[0]) for part in text.split('"total":')[1:]]


async def test_frames_are_written_at_once_and_never_twice() -> None:
    """Without a task's turn in between."""
    stage = Stage()
    for total in (1, 2, 2, 3):
        stage.tell(total)

    assert stage.totals() == [1, 2, 3]


async def test_the_slow_find_the_newest_only() -> None:
    """Section 5: one latest frame, never a queue."""
    stage = Stage()
    stage.tell(1)
    stage.protocol.pause_writing()
    for total in range(2, 50):
        stage.tell(total)
    during = stage.totals()
    stage.protocol.resume_writing()

    assert (during, stage.totals()) == ([1], [1, 49])
    assert not stage.wire.ended


async def test_who_takes_nothing_is_cut_off() -> None:
    """L3: at the send deadline, whatever has not gone out."""
    stage = Stage(send_deadline=0.05)
    stage.protocol.pause_writing()
    await asyncio.sleep(0.1)

    assert stage.wire.ended == "aborted"


async def test_goodbye_ends_it_also_for_the_slow() -> None:
    """A reader that takes bytes again hears it; the connection's set is what uvicorn waits for."""
    stage = Stage()
    stage.protocol.pause_writing()
    stage.listener.close()
    before = stage.wire.ended
    stage.protocol.resume_writing()

    assert not before
    assert b"event: bye" in stage.wire.written[-1]
    assert stage.wire.written[-1].endswith(LAST_CHUNK)
    assert stage.wire.ended == "closed"
    assert stage.connections == {stage.protocol}


@pytest.mark.parametrize(
    ("ping_s", "comment"), [(15, b": keep-alive\n\n"), (5, b": keep-alive 5\n\n")], ids=["default", "asked"]
)
async def test_a_comment_comes_when_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, ping_s: int, comment: bytes
) -> None:
    """And says when the next one does; every 15 s for who has not asked."""
    waits: list[float] = []
    looks: list[Any] = []

    def call_later(delay: float, look: Any, *_: Any) -> Any:
        waits.append(delay)
        looks.append(look)
        return asyncio.get_running_loop().call_soon(int)

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    stage = Stage(ping_s)
    looks[-1]()

    assert waits == [ping_s, ping_s]
    assert stage.wire.written[-1].split(b"\r\n", 1)[1].removesuffix(b"\r\n") == comment


@pytest.mark.parametrize("lost", [None, OSError("reset")], ids=["closed", "reset"])
async def test_its_end_takes_it_off_the_books(lost: Exception | None) -> None:
    """Once, whoever ends it; no timer is left."""
    stage = Stage()
    stage.protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    stage.protocol.connection_lost(lost)

    assert stage.books.closed == ["counted", "detached", "uncounted", "place given back", "given back"]
    assert stage.connections == set()
    assert stage.wire.written == []


async def test_last_words_that_nobody_takes_do_not_keep_it() -> None:
    """L3: a dead client's connection, and its place among its viewer's streams, end at the deadline."""
    stage = Stage(send_deadline=0.05)
    stage.listener.close()
    before = stage.wire.ended
    await asyncio.sleep(0.1)

    assert (before, stage.wire.ended) == ("closed", "aborted")


async def test_a_lifetime_ends_it() -> None:
    """With goodbye, between keep-alives too."""
    stage = Stage(stream_lifetime=0.05)
    await asyncio.sleep(0.1)

    assert b"event: bye" in stage.wire.written[-1]
    assert stage.wire.ended == "closed"


async def test_head_of_a_stream_has_an_end(one: Service) -> None:
    """HEAD says what GET would say, without a body that never ends."""
    async with httpx2.AsyncClient(base_url=one.url, timeout=5) as client:
        reply = await client.head("/v1/courses/c1/live")
        after = await client.get("/v1/courses/c1/count")

    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert after.status_code == 200

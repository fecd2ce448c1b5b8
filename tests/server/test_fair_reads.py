"""A connection's bytes are parsed in shares, one a turn of the loop, and reading waits meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from presence_svc.server.fair_reads import SHARE, FairReads
from presence_svc.server.sse import STRAYS
from tests.rig import Service
from tests.server.clock import Clock, Wire
from tests.server.raw import talk


class Connection:
    """A parser that notes what it was given, and pauses when told to."""

    def __init__(self) -> None:
        self.clock, self.wire = Clock(), Wire()
        self.parsed: list[bytes] = []
        self.flow = FairReads(cast(Any, self.wire), cast(Any, self.clock), self.takes)

    def takes(self, data: bytes) -> None:
        self.parsed.append(self.flow.share(data) if len(data) > SHARE else data)


SENT = bytes(range(256)) * (SHARE // 256) * 3 + b"end"


def test_a_share_a_turn() -> None:
    """All of it, in order; the transport reads on when the last share is through."""
    connection = Connection()
    connection.takes(SENT)
    first, reading = len(b"".join(connection.parsed)), connection.wire.is_reading
    connection.clock.passes(0.1)

    assert (first, reading) == (SHARE, False)
    assert b"".join(connection.parsed) == SENT
    assert connection.wire.is_reading


def test_what_is_held_waits_while_reading_is_paused() -> None:
    """uvicorn pauses while requests wait for an answer: those that are held may not join them."""
    connection = Connection()
    connection.takes(SENT)
    connection.flow.pause_reading()
    connection.clock.passes(0.1)
    paused = len(connection.parsed)
    connection.flow.resume_reading()
    connection.clock.passes(0.1)

    assert paused == 1
    assert b"".join(connection.parsed) == SENT
    assert connection.wire.is_reading


def test_a_pause_outlives_what_was_held() -> None:
    """The last share may be the one that fills a queue."""
    connection = Connection()
    connection.takes(SENT[: SHARE + 1])
    connection.clock.passes(0.1)
    connection.flow.pause_reading()

    assert not connection.wire.is_reading
    connection.flow.resume_reading()
    assert connection.wire.is_reading


def test_what_is_dropped_is_not_parsed() -> None:
    """The connection has become a socket's, or is closing."""
    connection = Connection()
    connection.takes(SENT)
    connection.flow.drop()
    connection.clock.passes(0.1)

    assert len(connection.parsed) == 1
    assert connection.wire.is_reading


# Against a real service.


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


async def test_a_large_batch_is_taken_whole(service: Service) -> None:
    """Shares are no limit: a body of many of them is one body, and what is behind it is the next request."""
    beats = [{"course_id": "c1", "viewer_id": f"u{n}", "name": "x" * 80} for n in range(1_000)]
    body = json.dumps({"heartbeats": beats}).encode()
    head = b"POST /v1/heartbeats HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    count = b"GET /v1/courses/c1/count HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    told = await talk(service.port, head + b"content-length: %d\r\n\r\n" % len(body) + body + count)

    assert len(body) > 5 * SHARE
    assert told.statuses == [200, 200]
    assert b'"total":1000' in told.received


ASK = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
ENDLESS = {
    "lines between requests": (ASK, b"\r\n" * 40_000, 400),
    "headers": (b"GET /livez HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n" * 101, 431),
}


@pytest.mark.parametrize("case", ENDLESS)
async def test_what_is_nearly_nothing_may_not_go_on_for_ever(service: Service, case: str) -> None:
    """H1: each costs as much as a header or a line of use."""
    first, more, status = ENDLESS[case]

    told = await talk(service.port, first, then=[more])

    assert told.statuses[-1] == status
    assert told.closed_after_s is not None


async def test_a_stream_that_is_talked_to_ends(service: Service) -> None:
    """Its client has nothing to say; a byte or two are forgiven."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b"GET /v1/courses/c1/live HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b"event: count")
    writer.write(b"\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readuntil(b"never"), 0.5)
    writer.write(b"x" * STRAYS)
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readuntil(b"never"), 10)
    writer.transport.abort()

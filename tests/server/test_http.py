"""Connections: a deadline for each, a cap on each head, and problem+json for what is not HTTP (H1, L7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import repeat

import httpx2
import pytest

from presence_svc.server.http import PIPELINED
from tests.rig import Service
from tests.server.raw import STATUS, talk

DEADLINE_S = 1.0
CLOSED_BY_S = 6.0  # generous: the machine may be busy; without deadlines it would be never
BODY = b'{"viewer_id":"u1"}'
HEAD = b"POST /v1/courses/c1/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
GOOD = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast path", "asgi"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    env = {
        "PRESENCE_REQUEST_DEADLINE": str(DEADLINE_S),
        "PRESENCE_SEND_DEADLINE": "1",
        "PRESENCE_FAST_PATH": request.param,
    }
    with Service(env) as running:
        yield running


async def test_a_silent_connection_is_closed_without_a_word(service: Service) -> None:
    """Browsers open connections in advance: an answer to nothing would confuse them."""
    told = await talk(service.port, b"")

    assert told.received == b""
    assert told.closed_after_s is not None
    assert DEADLINE_S * 0.9 <= told.closed_after_s < CLOSED_BY_S


SLOW = {
    "half a head": (b"GET /livez HTTP/1.1\r\nhost: x\r\n", ()),
    "a head that dribbles": (b"GET /livez HTTP/1.1\r\n", repeat(b"x-more: y\r\n", 200)),
    "half a request line": (b"GE", ()),
    "half a body": (GOOD[:-3], ()),
    "a body that dribbles": (HEAD + b"content-length: 1000\r\n\r\n", repeat(b" ", 200)),
    "chunks without an end": (HEAD + b"transfer-encoding: chunked\r\n\r\n", repeat(b"1\r\n \r\n", 200)),
    "no body after 100-continue": (HEAD + b"content-length: 18\r\nexpect: 100-continue\r\n\r\n", ()),
    "half a head after a good request": (GOOD, (b"GET /livez HT",)),
}


@pytest.mark.parametrize("case", SLOW)
async def test_slow_requests_end_at_the_deadline_with_408(service: Service, case: str) -> None:
    """A head and a body have a deadline each, however often a byte arrives."""
    first, then = SLOW[case]

    told = await talk(service.port, first, then=then)

    assert told.closed_after_s is not None
    assert told.closed_after_s < CLOSED_BY_S
    assert told.statuses[-1] == 408
    assert told.problem["status"] == 408


async def test_stray_bytes_do_not_keep_a_connection_for_ever(service: Service) -> None:
    """Line ends between requests begin no request, and must not switch the keep-alive deadline off."""
    told = await talk(service.port, b"\r\n", then=repeat(b"\r\n", 100))

    assert told.closed_after_s is not None
    assert told.closed_after_s < CLOSED_BY_S


async def test_a_refused_body_that_goes_on_is_cut_off(service: Service) -> None:
    """After a 413 the rest of the body has no claim on the connection."""
    told = await talk(service.port, HEAD + b"content-length: 90000\r\n\r\n", then=repeat(b"x" * 10, 200))

    assert told.statuses == [413]
    assert told.closed_after_s is not None
    assert told.closed_after_s < CLOSED_BY_S


async def test_a_kept_connection_is_not_cut_off_between_requests(service: Service) -> None:
    """The deadlines are for requests, not for the pause between two: that is keep-alive's."""
    told = await talk(service.port, GOOD, then=(b"", GOOD), pause_s=DEADLINE_S, patience_s=DEADLINE_S * 3.5)

    assert told.statuses == [200, 200]
    assert told.closed_after_s is None


async def test_a_stream_outlives_the_deadlines(service: Service) -> None:
    """A response may take as long as it likes while its reader reads."""
    told = await talk(
        service.port, b"GET /v1/courses/c1/live HTTP/1.1\r\nhost: x\r\n\r\n", patience_s=DEADLINE_S * 2.5
    )

    assert told.statuses == [200]
    assert told.closed_after_s is None


LARGE = {
    "one long header": b"GET /livez HTTP/1.1\r\nhost: x\r\nx-long: " + b"y" * 17_000 + b"\r\n\r\n",
    "many headers": b"GET /livez HTTP/1.1\r\nhost: x\r\n" + b"x-y: z\r\n" * 2_500 + b"\r\n",
    "a long path": b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "a head without an end": b"GET /livez HTTP/1.1\r\nx-long: " + b"y" * 17_000,
    "a heartbeat with a long header": HEAD + b"x-long: " + b"y" * 17_000 + b"\r\n" + GOOD[len(HEAD) :],
}


@pytest.mark.parametrize("case", LARGE)
async def test_a_head_over_the_cap_is_refused_with_431(service: Service, case: str) -> None:
    """16 KiB is the cap, for one header as for many, complete or not."""
    told = await talk(service.port, LARGE[case])

    assert told.statuses == [431]
    assert told.problem["status"] == 431
    assert told.closed_after_s is not None


async def test_a_large_body_behind_a_small_head_is_not_a_large_head(service: Service) -> None:
    """A batch may have a megabyte, in the same packet as its head."""
    batch = b'{"heartbeats":[%b]}' % b",".join([b'{"course_id":"c","viewer_id":"v"}'] * 900)
    head = b"POST /v1/heartbeats HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"

    told = await talk(service.port, head % len(batch) + batch)

    assert told.statuses == [200]


MALFORMED = {
    "bytes": b"\x00\x01\x02\xff\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\n: x\r\n\r\n",
    "a folded header": b"GET /livez HTTP/1.1\r\nx: y\r\n z\r\n\r\n",
    "two lengths": HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n123456",
    "length and chunks": HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": HEAD + b"content-length: -1\r\n\r\n",
    "a chunk that is no number": HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_what_is_not_http_gets_400_as_problem_json(service: Service, case: str) -> None:
    """RFC 9457 on every error, also before any request is understood; and the connection ends."""
    told = await talk(service.port, MALFORMED[case])

    assert told.statuses == [400]
    assert told.problem["status"] == 400
    assert told.closed_after_s is not None


LIVEZ = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_a_flood_of_requests_that_wait_is_cut_off(service: Service) -> None:
    """H1: each holds kilobytes until it is answered. Those that were let in are, and then it is over."""
    told = await talk(service.port, LIVEZ * 10 * PIPELINED)

    assert 1 <= len(told.statuses) <= PIPELINED + 1
    assert set(told.statuses) == {200}
    assert told.closed_after_s is not None


async def test_some_requests_in_a_row_are_all_answered(service: Service) -> None:
    """Pipelining is good HTTP/1.1."""
    told = await talk(service.port, GOOD + LIVEZ * (PIPELINED // 2), then=(GOOD + LIVEZ,), patience_s=2)

    assert told.statuses == [200] * (PIPELINED // 2 + 3)
    assert told.closed_after_s is None


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
AROUND = {
    "many trailers": (CHUNKED + b"0\r\n", b"x-more: y\r\n" * 2_000),
    "one long trailer": (CHUNKED + b"0\r\nx-more: ", b"y" * 20_000),
    "a long chunk extension": (CHUNKED + b"5;x=", b"y" * 20_000),
}


@pytest.mark.parametrize("case", AROUND)
async def test_what_comes_around_a_body_has_the_cap_of_a_head(service: Service, case: str) -> None:
    """H1: no body cap counts trailers and chunk extensions, and the parser keeps each one whole."""
    first, more = AROUND[case]

    told = await talk(service.port, first, then=(more,))

    assert told.statuses == [413]
    assert told.problem["status"] == 413
    assert told.closed_after_s is not None


async def test_small_chunks_and_a_trailer_are_good(service: Service) -> None:
    """A batch over the cap of a head in chunks of 16 bytes; what is around them is over that cap too."""
    batch = b'{"heartbeats":[%b]}' % b",".join([b'{"course_id":"c","viewer_id":"v"}'] * 900)
    chunks = [batch[at : at + 16] for at in range(0, len(batch), 16)]
    head = CHUNKED.replace(b"courses/c1/heartbeat", b"heartbeats")
    packets = [b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks[at : at + 500]) for at in (0, 500)]
    packets.append(b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks[1_000:]))

    told = await talk(service.port, head, then=(*packets, b"0\r\nx-sum: 1\r\n\r\n"), patience_s=2)

    assert told.statuses == [200]


async def test_a_head_over_the_cap_is_refused_with_431_also_when_its_like_was_read_before(
    service: Service,
) -> None:
    """What is remembered of a head holds no token, and so nothing of its length."""
    head, rest = HEAD + b"Authorization: Bearer %b\r\n", GOOD[len(HEAD) :]

    told = await talk(
        service.port, head % b"x" + rest, then=(head % b"x" + rest, head % (b"x" * 20_000) + rest)
    )

    assert told.statuses == [200, 200, 431]


async def test_half_open_connections_leave_nothing_behind(service: Service) -> None:
    """A hundred are sent away together, and the next request is served at once."""
    told = await asyncio.gather(*(talk(service.port, b"POST / HT") for _ in range(100)))

    assert {talk.statuses[-1] for talk in told} == {408}
    assert httpx2.get(f"{service.url}/livez").status_code == 200


async def test_a_good_request_is_answered_whatever_follows_it(service: Service) -> None:
    """What is not HTTP behind a good request ends the connection, after the answer."""
    for request in (GOOD, b"GET /v1/courses/c1/count HTTP/1.1\r\nhost: x\r\n\r\n"):
        told = await talk(service.port, request + b"\x00\x01 nonsense\r\n\r\n")

        assert told.statuses[0] == 200
        assert told.closed_after_s is not None


HALF_CLOSED = {
    "a heartbeat": (GOOD, [200]),
    "a probe": (b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n", [200]),
    "another probe": (b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", [200]),
    "an old probe": (b"GET /readyz HTTP/1.0\r\n\r\n", [200]),
    "two at once": (GOOD + b"GET /v1/stats HTTP/1.1\r\nhost: x\r\n\r\n", [200, 200]),
    "half a request": (GOOD[:-3], []),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("case", HALF_CLOSED)
async def test_who_has_said_all_may_still_listen(service: Service, case: str) -> None:
    """RFC 9112, 9.6: an end of what is sent (`nc -N`, simple probes) is not the end of the connection."""
    request, statuses = HALF_CLOSED[case]
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(request)
    writer.write_eof()

    async with asyncio.timeout(CLOSED_BY_S):
        told = await reader.read()
    writer.transport.abort()

    assert [int(status) for status in STATUS.findall(told)] == statuses


@pytest.mark.parametrize("path", [b"/v1/courses/c1/heartbeat", b"/v1/courses/c1/leave", b"/v1/heartbeats"])
async def test_a_length_of_many_digits_is_a_length(service: Service, path: bytes) -> None:
    """H1: with 4,400 zeros in front of it Python would not read it, and the answer was a 500."""
    body = b'{"heartbeats":[{"course_id":"c1","viewer_id":"u1"}]}' if path == b"/v1/heartbeats" else BODY
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n" % path
    told = await talk(service.port, head + b"content-length: %b%d\r\n\r\n" % (b"0" * 4_400, len(body)) + body)

    assert told.statuses in ([200], [204])
    assert "Traceback" not in service.logs()


async def test_idle_connections_are_kept_for_as_long_as_is_said() -> None:
    """A load balancer must be the one that closes: some keep connections for ten minutes."""
    with Service({"PRESENCE_KEEP_ALIVE": "0.5"}) as made:
        for request in (GOOD, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"):
            told = await talk(made.port, request)
            assert told.statuses == [200]
            assert told.closed_after_s is not None
            assert told.closed_after_s >= 0.4

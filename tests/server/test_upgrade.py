"""Clients that offer h2c, or whatever else nobody speaks here, are served as if they had not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig import Service
from tests.server.raw import talk

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
OFFERS = {
    "h2c": OFFER,
    "another protocol": b"connection: upgrade\r\nupgrade: chat/2\r\n",
    "two lines": b"Upgrade: h2c\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n",
}
BODY = b'{"viewer_id":"u1","session_id":"s1"}'
BATCH = b'{"heartbeats":[{"course_id":"c1","viewer_id":"u2"}]}'
JSON = b"host: x\r\ncontent-type: application/json\r\n"
HEARTBEAT = b"POST /v1/courses/c1/heartbeat HTTP/1.1\r\n" + JSON
LENGTH = b"content-length: %d\r\n\r\n"
COUNT = b"GET /v1/courses/c1/count HTTP/1.1\r\nhost: x\r\n"
LAST = COUNT + b"connection: close\r\n\r\n"


@pytest.fixture(scope="module", params=["true", "false"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """With the fast path and without."""
    with Service({"PRESENCE_AUTH": "trusted", "PRESENCE_FAST_PATH": request.param}) as made:
        yield made


@pytest.mark.parametrize("offer", OFFERS)
async def test_a_body_behind_an_offer_is_read(service: Service, offer: str) -> None:
    """Java's HTTP client offers h2c with its first request: its body is read, and what follows."""
    chunks = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    requests = {
        "whole": HEARTBEAT + OFFERS[offer] + LENGTH % len(BODY) + BODY,
        "chunked": HEARTBEAT + OFFERS[offer] + chunks,
        "batch": b"POST /v1/heartbeats HTTP/1.1\r\n" + JSON + OFFERS[offer] + LENGTH % len(BATCH) + BATCH,
        "no body": COUNT + OFFERS[offer] + b"\r\n",
    }
    for what, request in requests.items():
        told = await talk(service.port, request + LAST)

        assert told.statuses == [200, 200], (what, told.received)
        assert told.closed_after_s is not None


@pytest.mark.parametrize("cut", [10, 60, -len(BODY), -5])
async def test_wherever_a_packet_ends(service: Service, cut: int) -> None:
    """A head and its body may come apart, anywhere."""
    request = HEARTBEAT + OFFER + LENGTH % len(BODY) + BODY

    told = await talk(service.port, request[:cut], then=[request[cut:], LAST])

    assert told.statuses == [200, 200], told.received


async def test_limits_hold_behind_an_offer(service: Service) -> None:
    """H1: too long a head is refused with it as without it; a tunnel is refused as it was."""
    long_head = await talk(service.port, COUNT + OFFER + b"x: %b\r\n\r\n" % (b"y" * 20_000))
    tunnel = await talk(service.port, b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n")

    assert long_head.statuses == [431]
    assert tunnel.statuses == [400]

"""A socket's connection: every handshake has an answer, every wait an end, and nothing piles up (H1, L3)."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from presence_svc.server.handshake import FRAGMENT
from presence_svc.server.websocket import LINGER_S, WebSocketProtocol
from presence_svc.settings import Settings
from tests.live.eventually import eventually
from tests.rig import Service
from tests.server.clock import Clock, Task, Wire
from tests.server.raw import talk
from tests.web.socket_client import SocketClient

SEND_S = 7.0
MAX_SIZE = 65_536
OFFER = (
    b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
ASK = b"GET /v1/courses/c1/ws HTTP/1.1\r\n"


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


class Connection:
    """One open socket, whose app does nothing; `codes` are those of the close frames that were written."""

    def __init__(self, **limits: Any) -> None:
        self.clock, self.wire, self.over_rate = Clock(), Wire(), list[str]()
        config = uvicorn.Config(cast(Any, _no_app), log_config=None, ws_max_size=MAX_SIZE)
        settings = Settings(
            **({"send_deadline": SEND_S, "socket_burst": 10_000, "socket_bytes_burst": 10**6} | limits)
        )
        metrics = SimpleNamespace(over_rate=self.over_rate.append)
        service = SimpleNamespace(settings=settings, metrics=metrics)
        self.protocol = WebSocketProtocol(
            config, ServerState(), {"service": service}, _loop=cast(Any, self.clock)
        )
        self.wire.protocol = self.protocol
        self.protocol.connection_made(cast(Any, self.wire))

    def opens(self) -> None:
        self.protocol.data_received(ASK + OFFER + b"\r\n")
        self.protocol.conn.send_response(self.protocol.response)
        self.protocol.conn.data_to_send()
        self.protocol.handshake_complete = True
        self.protocol.queue._events.clear()  # type: ignore[attr-defined]

    def hears(self, *frames: bytes) -> None:
        self.protocol.data_received(b"".join(frames))

    @property
    def heard(self) -> list[Any]:
        """What the app would receive."""
        return list(self.protocol.queue._events)  # type: ignore[attr-defined]

    @property
    def codes(self) -> list[int]:
        closes = re.findall(rb"\x88[\x02-\x7d](..)", b"".join(self.wire.written), re.DOTALL)
        return [struct.unpack("!H", code)[0] for code in closes]


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the clock runs no tasks")


@pytest.fixture
def connection() -> Connection:
    made = Connection()
    made.opens()
    return made


PING = frame(Opcode.PING, b"x" * 125)


def test_pings_of_who_takes_nothing_are_not_answered(connection: Connection) -> None:
    """The answers would pile up here, and stay after a close."""
    connection.hears(PING)
    connection.protocol.pause_writing()
    for _ in range(50):
        connection.hears(PING * 100)
    written = len(connection.wire.written)
    connection.protocol.resume_writing()
    connection.hears(PING)

    assert (written, len(connection.wire.written)) == (1, 2)


def test_who_takes_nothing_is_not_read(connection: Connection) -> None:
    """Their pings would cost as much as ever; what the app has yet to take keeps its own pause."""
    protocol, wire = connection.protocol, connection.wire
    seen = []
    for step in (
        protocol.pause_writing,
        protocol.resume_writing,
        lambda: connection.hears(frame(Opcode.TEXT, b"{}")),
        protocol.resume_writing,
    ):
        step()
        seen.append(wire.is_reading)

    assert seen == [False, True, False, False]


def test_who_takes_nothing_is_cut_off(connection: Connection) -> None:
    """L3: at the send deadline; and not, when they take bytes again."""
    connection.protocol.pause_writing()
    connection.clock.passes(SEND_S - 1)
    connection.protocol.resume_writing()
    connection.clock.passes(SEND_S * 3)
    before = connection.wire.ended
    connection.protocol.pause_writing()
    connection.hears(frame(Opcode.CLOSE, struct.pack("!H", 1000)))
    closing = connection.wire.ended
    connection.clock.passes(SEND_S + 1)

    assert (before, closing, connection.wire.ended) == ("", "closed", "aborted")


@pytest.mark.parametrize("resumes", [True, False])
def test_a_connection_does_not_outlive_its_app_for_long(connection: Connection, resumes: bool) -> None:
    """L3: its place is given back by then; a part of the last words taken is no reason to wait longer."""
    connection.protocol.on_task_complete(cast(Any, Task()))
    connection.wire.close()
    if resumes:
        connection.protocol.resume_writing()

    connection.clock.passes(SEND_S + 1)

    assert connection.wire.ended == "aborted"


def test_a_connection_that_has_ended_leaves_no_timer(connection: Connection) -> None:
    """It would keep the whole socket in memory until it rings."""
    connection.protocol.pause_writing()
    connection.protocol.connection_lost(None)
    connection.protocol.on_task_complete(cast(Any, Task()))
    connection.clock.passes(SEND_S * 2)

    assert connection.wire.ended == "closed"


def test_a_message_of_empty_fragments_has_an_end(connection: Connection) -> None:
    """H1: the cap on bytes counts none of them; each is kept until the last one comes."""
    connection.hears(frame(Opcode.TEXT, fin=False))
    connection.hears(frame(Opcode.CONT, fin=False) * (2 * MAX_SIZE // FRAGMENT))

    assert connection.codes == [1009]
    connection.clock.passes(LINGER_S)
    assert connection.wire.ended == "closed"


def test_a_message_may_come_in_fragments(connection: Connection) -> None:
    """With pings in between, as RFC 6455 allows."""
    connection.hears(
        frame(Opcode.TEXT, b"{", fin=False),
        frame(Opcode.PING),
        frame(Opcode.CONT, fin=False),
        frame(Opcode.CONT, b"}"),
    )

    assert connection.heard == [{"type": "websocket.receive", "text": "{}"}]


def test_a_text_that_is_none_ends_the_socket_quietly(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """1007, as RFC 6455 asks; anybody can send it, so that the log says nothing."""
    connection.hears(frame(Opcode.TEXT, b"\xff", fin=False), frame(Opcode.CONT, b"\xfe"))

    assert connection.codes == [1007]
    connection.clock.passes(LINGER_S)
    assert connection.wire.ended == "closed"
    assert [event["type"] for event in connection.heard] == ["websocket.disconnect"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


FLOODS = {
    "pings": [frame(Opcode.PING)],
    "pongs": [frame(Opcode.PONG, b"x")],
    "messages": [frame(Opcode.TEXT, b"{}")],
    "binary messages": [frame(Opcode.BINARY)],
    "parts": [frame(Opcode.TEXT, fin=False), *[frame(Opcode.CONT, fin=False)] * 9],
}


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("at_once", [True, False])
def test_frames_have_a_rate_whatever_they_are(kind: str, at_once: bool) -> None:
    """A socket that sends more than its burst is told and closed, at that frame; what follows is not read."""
    connection = Connection(socket_burst=10, socket_rate=1)
    connection.opens()
    sent = (FLOODS[kind] * 11)[:11]

    connection.hears(*sent[:10])
    before = connection.codes
    if at_once:
        connection.hears(sent[10] * 5_000)
    else:
        connection.hears(sent[10])

    assert (before, connection.codes) == ([], [4429])
    assert b'"status":429' in b"".join(connection.wire.written)
    assert connection.over_rate == ["socket_frames"]
    assert not connection.wire.is_reading
    assert connection.heard[-1] == {"type": "websocket.disconnect", "code": 4429, "reason": "too many frames"}


def test_who_keeps_to_the_rate_may_stay() -> None:
    """The burst comes back with time."""
    connection = Connection(socket_burst=10, socket_rate=2)
    connection.opens()
    for _ in range(10):
        connection.hears(*[PING] * 10)
        connection.clock.passes(5)

    assert connection.codes == []


def test_bytes_have_a_rate_too() -> None:
    """Few frames can be many bytes, also of one that never becomes whole."""
    connection = Connection(socket_bytes_burst=MAX_SIZE, socket_bytes_rate=100)
    connection.opens()
    begun = frame(Opcode.TEXT, b"x" * (MAX_SIZE - 600))

    connection.hears(begun[:-1])
    before = connection.codes
    connection.hears(begun[:1_000])

    assert (before, connection.codes, connection.over_rate) == ([], [4429], ["socket_bytes"])


def test_last_words_have_time_to_arrive(connection: Connection) -> None:
    """A close while bytes are unread is a reset, which takes away what the client has yet to read."""
    connection.hears(frame(Opcode.TEXT, b"\xff"))
    at_once = connection.wire.ended
    connection.protocol.resume_writing()
    connection.clock.passes(LINGER_S)

    assert (at_once, connection.wire.ended, connection.wire.is_reading) == ("", "closed", False)


def test_what_comes_before_the_answer_is_refused_by_http() -> None:
    """The app may still be looking at the token; there is no socket yet that could be closed with a code."""
    connection = Connection(socket_burst=10, socket_rate=1)
    connection.protocol.data_received(ASK + OFFER + b"\r\n")
    connection.hears(*[PING] * 11)

    assert b"".join(connection.wire.written).startswith(b"HTTP/1.1 429 ")
    assert connection.heard[-1]["type"] == "websocket.disconnect"


# Against a real service.


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service({"PRESENCE_BODY_LIMIT": "100000"}) as running:
        yield running


NO_KEY = OFFER.replace(b"Sec-WebSocket-Key", b"X-Key")
REFUSED = {
    "many headers": (ASK + OFFER + b"x-y: z\r\n" * 200, 431),
    "a long header": (ASK + OFFER + b"x-long: " + b"y" * 9_000 + b"\r\n", 431),
    "a long path": (ASK.replace(b"/ws", b"/ws?x=" + b"y" * 9_000) + OFFER, 414),
    "a body": (ASK + OFFER + b"content-length: 5\r\n", 400),
    "chunks": (ASK + OFFER + b"transfer-encoding: chunked\r\n", 400),
    "no key": (ASK + NO_KEY, 400),
    "another method": (ASK.replace(b"GET", b"POST") + OFFER, 405),
    "another path": (b"GET /nothing HTTP/1.1\r\n" + OFFER, 404),
    "a query that is wrong": (ASK.replace(b"/ws", b"/ws?viewers=x") + OFFER, 422),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_handshake_gets_an_answer_and_a_close(service: Service, case: str) -> None:
    """RFC 9457, whoever refuses: the service, uvicorn, or the library below it, which left some waiting."""
    head, status = REFUSED[case]

    told = await talk(service.port, head + b"\r\n")

    assert told.statuses == [status]
    assert told.problem["status"] == status
    assert {"type", "title", "status", "detail"} <= set(told.problem)
    assert told.closed_after_s is not None


async def test_a_message_may_be_as_long_as_a_body(service: Service) -> None:
    """BODY_LIMIT, also above what the library takes by itself."""
    async with SocketClient(service, "long", viewer_id="ada", more="x" * 90_000) as ada:
        assert ada.joined["type"] == "joined"


async def test_what_anybody_can_do_is_not_logged(service: Service) -> None:
    """A log that strangers can fill hides what matters."""
    with pytest.raises(InvalidStatus):
        await SocketClient(service, "noise", query="?viewers=x", viewer_id="ada").__aenter__()
    async with SocketClient(service, "noise", viewer_id="ada") as ada:
        ada.socket.transport.write(frame(Opcode.TEXT, b"\xff\xfe"))
        assert await ada.closed() == 1007

    async def is_gone() -> bool:
        reply = await talk(service.port, b"GET /v1/courses/noise/count HTTP/1.1\r\nconnection: close\r\n\r\n")
        return b'"total":0' in reply.received

    await eventually("the visit has ended", is_gone, within_s=10)
    assert '"level":"error"' not in service.logs()
    assert "Traceback" not in service.logs()


async def test_a_loud_socket_is_told_and_counted(service: Service) -> None:
    """The error names the rate and when to come back; the closing code says 429 to who sees nothing else."""
    async with SocketClient(service, "loud", viewer_id="ada") as ada:
        for _ in range(200):
            await ada.say("nonsense")
        told = await ada.until("error", status=429)
        assert await ada.closed() == 4429

    assert told["detail"] == "too many frames"
    assert told["retry_after_ms"] >= 0
    metrics = await talk(service.port, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert b'presence_over_rate_total{policy="socket_frames"}' in metrics.received

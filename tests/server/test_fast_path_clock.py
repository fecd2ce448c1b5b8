"""The fast path's connection by a clock of its own: deadlines, and who takes no answers (L3, L7)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from presence_svc.auth.admission import Admission
from presence_svc.auth.leave_token import LeaveTokens
from presence_svc.auth.rates import Rates
from presence_svc.metrics import Metrics
from presence_svc.server.fast_path import FastPathProtocol
from presence_svc.server.request_head import HeadCache, HeartbeatCycle
from presence_svc.server.shutdown import LAST_REQUEST_S
from presence_svc.settings import Settings
from presence_svc.store.shared import Shared
from presence_svc.store.write import HeartbeatResult
from presence_svc.web.heartbeat import HeartbeatHandler
from tests.server.clock import Clock, Task, Wire

KEEP_ALIVE_S = 75.0
DEADLINE_S = 10.0
SEND_S = 7.0
BODY = b'{"viewer_id":"u1"}'
HEAD = b"POST /v1/courses/c1/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
GOOD = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
WRONG = HEAD + b"content-length: 1\r\n\r\n{"
RECORDED = HeartbeatResult(1, 1_790_000_060_000, 1_790_000_000_000)


class Connection:
    """One connection of the fast path; with `record` Redis answers all that waits for it."""

    def __init__(self) -> None:
        settings = Settings(request_deadline=DEADLINE_S, send_deadline=SEND_S)
        shared = Shared(cast(Any, None), settings)
        shared.secret = b"s" * 32
        leave_tokens = LeaveTokens(shared)
        admission = Admission(
            settings,
            rates=Rates(settings),
            joins=cast(Any, None),
            anonymous=cast(Any, None),
            leave_tokens=leave_tokens,
        )
        self.clock, self.wire = Clock(), Wire()
        self.waiting: list[Callable[[Any], None]] = []
        presence = SimpleNamespace(post=lambda write, seq, done: self.waiting.append(done))
        service = SimpleNamespace(
            settings=settings,
            admission=admission,
            leave_tokens=leave_tokens,
            presence=presence,
            public_rosters=SimpleNamespace(alias=lambda course_id, viewer_id: ""),
            metrics=Metrics(),
            hub=SimpleNamespace(draining=False),
        )
        handler = HeartbeatHandler(settings)
        handler.service = cast(Any, service)
        config = uvicorn.Config(
            cast(Any, _no_app), ws="none", log_config=None, timeout_keep_alive=int(KEEP_ALIVE_S)
        )
        self.ending = SimpleNamespace(last_request_s=LAST_REQUEST_S)
        state = {"service": service, "handler": handler, "shutdown": self.ending}
        self.protocol = FastPathProtocol(config, ServerState(), state, _loop=cast(Any, self.clock))
        self.wire.protocol = self.protocol
        self.protocol.connection_made(cast(Any, self.wire))

    def hears(self, *packets: bytes) -> None:
        """Packets arrive; what has to happen at the loop's next turn happens."""
        for packet in packets:
            self.protocol.data_received(packet)
        self.clock.passes(0)

    def record(self) -> None:
        """Redis answers."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(RECORDED)

    def beats(self) -> None:
        """A heartbeat comes and is answered."""
        self.hears(GOOD)
        self.record()

    @property
    def is_open(self) -> bool:
        return not self.wire.ended

    @property
    def statuses(self) -> list[int]:
        return [int(data[9:12]) for data in self.wire.written]


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the clock runs no tasks")


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Connection:
    monkeypatch.setattr(FastPathProtocol, "_heads", HeadCache())
    return Connection()


def test_a_kept_connection_ends_after_keep_alive(connection: Connection) -> None:
    """Not before, and counted from the last answer."""
    connection.beats()
    connection.clock.passes(50)
    connection.beats()

    connection.clock.passes(KEEP_ALIVE_S - 1)
    assert connection.is_open
    connection.clock.passes(2)

    assert connection.wire.ended == "closed"
    assert connection.statuses == [200, 200]


@pytest.mark.parametrize("refused", [GOOD, WRONG], ids=["recorded", "refused"])
def test_a_slow_head_after_an_idle_time_has_the_deadline_of_any_head(
    connection: Connection, refused: bytes
) -> None:
    """Keep-alive's patience ends with the first byte."""
    connection.beats()
    connection.hears(refused)
    connection.record()
    connection.clock.passes(30)

    connection.hears(GOOD[:20])
    connection.clock.passes(DEADLINE_S - 1)
    assert connection.is_open
    connection.hears(GOOD[20:30])
    connection.clock.passes(2)

    assert connection.statuses[-1] == 408
    assert connection.wire.ended == "closed"


@pytest.mark.parametrize("first", [GOOD, WRONG], ids=["recorded", "refused"])
def test_half_a_head_behind_a_heartbeat_has_the_same_deadline(connection: Connection, first: bytes) -> None:
    """The answer to the heartbeat gives the half head no more time than it has."""
    connection.beats()
    connection.hears(first + GOOD[:20])
    connection.record()

    connection.clock.passes(DEADLINE_S + 1)

    assert connection.statuses[-1] == 408
    assert connection.wire.ended == "closed"


def test_stray_line_ends_cut_off_no_heartbeat(connection: Connection) -> None:
    """They start a deadline, and the request that comes after them ends it."""
    connection.beats()
    connection.beats()
    connection.hears(b"\r\n")
    connection.clock.passes(DEADLINE_S - 1)

    connection.hears(GOOD)
    connection.clock.passes(2)
    connection.record()

    assert connection.statuses == [200, 200, 200]
    assert connection.is_open


@pytest.mark.parametrize("seen", [True, False], ids=["head seen before", "new head"])
def test_who_takes_no_answers_is_sent_no_more(connection: Connection, seen: bool) -> None:
    """L3: once a write has paused, the next heartbeat goes to the ASGI app, which waits for the client."""
    connection.beats()
    if seen:
        connection.beats()
    connection.wire.is_full = True
    connection.beats()
    written = len(connection.wire.written)

    for _ in range(5):
        connection.hears(GOOD)
        connection.record()

    assert len(connection.wire.written) == written
    assert type(cast(Any, connection.protocol.cycle)) is RequestResponseCycle
    assert connection.clock.tasks == 1
    assert not connection.wire.is_reading


def test_who_takes_no_answers_is_cut_off(connection: Connection) -> None:
    """The deadline for taking bytes runs on, whatever the client sends meanwhile."""
    connection.beats()
    connection.wire.is_full = True
    connection.beats()

    for _ in range(2):
        connection.clock.passes(SEND_S * 0.4)
        connection.hears(GOOD)
        connection.record()
    connection.clock.passes(SEND_S * 0.4)

    assert connection.wire.ended == "aborted"


def test_who_takes_answers_again_is_kept_alive_and_no_longer(connection: Connection) -> None:
    """Neither cut off by the deadline that has ended, nor kept for ever."""
    connection.beats()
    connection.wire.is_full = True
    connection.beats()
    connection.wire.is_full = False

    connection.clock.passes(SEND_S - 1)
    connection.protocol.resume_writing()
    connection.clock.passes(KEEP_ALIVE_S - 1)
    assert connection.is_open
    connection.clock.passes(2)

    assert connection.wire.ended == "closed"


LIVE = b"GET /v1/courses/c1/live HTTP/1.1\r\nhost: x\r\n\r\n"


def test_nothing_is_read_while_requests_wait(connection: Connection) -> None:
    """uvicorn reads on at each answer: the pipeline would take a packet for every request that it loses."""
    connection.hears(GOOD, LIVE, LIVE, LIVE)
    assert not connection.wire.is_reading

    connection.record()
    assert len(connection.protocol.pipeline) == 2
    assert not connection.wire.is_reading
    for _ in range(2):
        connection.protocol.on_response_complete()
    assert connection.wire.is_reading


def test_a_request_under_way_learns_of_the_end_also_when_others_wait_behind_it(
    connection: Connection,
) -> None:
    """Else its answer would be written to a connection that is no more, and be logged as a bug."""
    cycles = []
    for _ in range(3):
        connection.hears(LIVE)
        cycles.append(connection.protocol.cycle)

    connection.protocol.connection_lost(ConnectionResetError())

    assert cycles[0].disconnected
    assert cycles[0].message_event.is_set()


def test_trailers_are_no_headers(connection: Connection) -> None:
    """They would join the headers of a request that the app is reading."""
    connection.hears(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"0\r\nauthorization: x\r\n\r\n")

    assert connection.clock.tasks == 1
    assert b"authorization" not in dict(connection.protocol.scope["headers"])


def test_an_answer_to_nobody_is_not_written(connection: Connection) -> None:
    """The client has gone while its heartbeat was under way."""
    connection.beats()
    connection.hears(GOOD)
    written = len(connection.wire.written)

    connection.wire.ended = "closed"
    connection.protocol.connection_lost(None)
    connection.record()
    connection.clock.passes(KEEP_ALIVE_S + SEND_S)

    assert len(connection.wire.written) == written


def test_a_heartbeat_under_way_at_shutdown_is_answered_and_then_closed(connection: Connection) -> None:
    """One that is idle has a moment more: see below."""
    connection.beats()
    connection.hears(GOOD)

    connection.protocol.shutdown()
    assert connection.is_open
    connection.record()

    assert connection.wire.ended == "closed"
    assert b"\r\nconnection: close\r\n" in connection.wire.written[-1]


def test_a_bug_while_something_is_fetched_leaves_nobody_waiting(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last resort: 500 without a word of the inside, and the connection is closed."""

    async def broken() -> None:
        raise ZeroDivisionError

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with pytest.raises(StopIteration):
            coroutine.send(None)
        return Task()

    connection.beats()
    monkeypatch.setattr(connection.protocol._handler, "admit", lambda *_: broken())
    monkeypatch.setattr(connection.clock, "create_task", run)

    connection.hears(GOOD)

    assert connection.wire.ended == "closed"
    assert connection.statuses == [200, 500]


def test_a_bug_while_a_heartbeat_is_judged_leaves_nobody_waiting(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 as problem+json, whoever has read the head, parser or memory; its trace goes to the log alone."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret of the inside")

    told = []
    for beats in (0, 2):
        monkeypatch.setattr(FastPathProtocol, "_heads", HeadCache())
        connection = Connection()
        for _ in range(beats):
            connection.beats()
        monkeypatch.setattr(connection.protocol._handler, "admit", broken)
        connection.hears(GOOD)
        told.append(connection.wire.written[-1])
        assert connection.wire.ended == "closed"

    assert told[0] == told[1]
    head, _, content = told[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"content-type: application/problem+json\r\n" in head
    assert head.endswith(b"\r\nconnection: close")
    assert sorted(orjson.loads(content)) == ["detail", "status", "title", "type"]
    assert b"secret" not in told[0]
    assert "a secret of the inside" in caplog.text


def test_a_bug_in_an_answer_leaves_nobody_waiting(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat is in Redis, its reply cannot be made: 500, and not silence."""
    connection.beats()
    monkeypatch.setattr(connection.protocol._handler, "recorded", lambda *_: 1 / 0)

    connection.hears(GOOD)
    connection.record()

    assert connection.statuses == [200, 500]
    assert connection.wire.ended == "closed"


def test_a_close_that_nobody_lets_finish_ends_at_the_send_deadline(connection: Connection) -> None:
    """L3: last words that are not taken hold a connection no longer than others; idle or told to close."""
    connection.beats()
    connection.clock.passes(KEEP_ALIVE_S + 1)
    assert connection.wire.ended == "closed"
    connection.clock.passes(SEND_S)
    assert connection.wire.ended == "aborted"

    refused = Connection()
    refused.hears(b"nonsense\r\n\r\n")
    assert refused.wire.ended == "closed"
    refused.clock.passes(SEND_S + 1)
    assert refused.wire.ended == "aborted"

    last = Connection()
    last.beats()
    last.hears(GOOD)
    last.protocol.shutdown()
    last.record()
    assert last.wire.ended == "closed"
    last.protocol.resume_writing()  # a part of it has gone out
    last.clock.passes(SEND_S + 1)
    assert last.wire.ended == "aborted"


@pytest.mark.parametrize("beats_before", [0, 1], ids=["new", "kept"])
def test_a_request_on_its_way_is_answered_when_the_process_ends(
    connection: Connection, beats_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client cannot know of the end: by the answer it does."""
    for _ in range(beats_before):
        connection.beats()
    monkeypatch.setattr(HeartbeatCycle, "keep_alive", False)

    connection.protocol.shutdown()
    connection.clock.passes(LAST_REQUEST_S / 2)
    assert connection.is_open
    connection.beats()

    assert connection.statuses == [200] * (beats_before + 1)
    assert b"connection: close" in connection.wire.written[-1]
    assert connection.wire.ended == "closed"


@pytest.mark.parametrize("beats_before", [0, 1], ids=["new", "kept"])
@pytest.mark.parametrize(("said", "statuses"), [(b"", []), (GOOD[:30], [408])], ids=["silent", "slow"])
def test_the_end_of_the_process_does_not_wait_for_long(
    connection: Connection, beats_before: int, said: bytes, statuses: list[int]
) -> None:
    """Whoever says nothing, or only half of it, is sent away: far sooner than at the usual deadlines."""
    for _ in range(beats_before):
        connection.beats()

    connection.protocol.shutdown()
    connection.hears(*[said] * bool(said))
    connection.clock.passes(LAST_REQUEST_S * 0.9)
    assert connection.is_open
    connection.clock.passes(LAST_REQUEST_S)

    assert connection.wire.ended == "closed"
    assert connection.statuses[beats_before:] == statuses


@pytest.mark.parametrize("beats_before", [0, 1], ids=["new", "kept"])
def test_nobody_waits_for_a_request_at_a_terminal(connection: Connection, beats_before: int) -> None:
    """Ctrl-C: what is idle ends at once."""
    for _ in range(beats_before):
        connection.beats()
    connection.ending.last_request_s = 0.0

    connection.protocol.shutdown()

    assert connection.wire.ended == "closed"

"""uvicorn's HTTP protocol with the deadlines that it lacks: whoever is slow or silent is sent away.

Named by commands.serve. A request's head and its body have `request_deadline` each, a client that takes no
bytes a little longer; a head over `header_limit` is refused with 431, and what is not HTTP with 400, both as
problem+json. One timer per connection, which honest requests (complete in one packet) never touch.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ..errors import BadRequest, PresenceError
from .problems import MEDIA_TYPE, problem
from .service import Service
from .stream import Stream
from .stream_protocol import StreamProtocol

STALL_S = 30.0
STREAM = b"/live"
ADOPT = "presence.adopt"  # the ASGI extension that hands a stream over to its connection


class HeadTooLarge(PresenceError):
    """The request line and the headers are over the cap."""

    status = 431
    title = "Request header fields too large"


class TooSlow(PresenceError):
    """The request did not arrive within its deadline."""

    status = 408
    title = "Request timeout"


class PresenceProtocol(HttpToolsProtocol):
    """`_due` is when we lose patience with the client; None while nothing is awaited from it."""

    _due: float | None = None
    _watch: asyncio.TimerHandle | None = None
    _reading = True  # a request's head or body is incomplete, or the first one has not begun
    _in_head = True
    _stalled = False
    _taken = 0  # bytes since the last packet that ended outside of a head
    _refusal: PresenceError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        settings = cast(Service, self.app_state["service"]).settings
        self._patience_s, self._head_limit = settings.request_deadline, settings.header_limit
        self._stall_s = max(STALL_S, settings.send_deadline)  # streams have a stricter deadline of their own
        self._wait(self._patience_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._taken += len(data)
        super().data_received(data)
        if self._reading:
            if self._in_head and self._taken > self._head_limit:
                self._refuse(HeadTooLarge(f"a request's head may have {self._head_limit} bytes"))
            if self._due is None:
                self._wait(self._patience_s)
        elif self._due is None and self._is_unwatched():
            self._wait(self._patience_s)  # stray bytes between requests have ended uvicorn's keep-alive timer
        if not self._in_head:
            self._taken = 0

    def _is_unwatched(self) -> bool:
        served = self.cycle is None or self.cycle.response_complete
        return served and self.timeout_keep_alive_task is None and self.transport.get_protocol() is self

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = self._in_head = True

    def on_headers_complete(self) -> None:
        if self._taken > self._head_limit:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._head_limit:
                self._refusal = HeadTooLarge(f"a request's head may have {self._head_limit} bytes")
                raise httptools.HttpParserError("the head is too large")
        self._in_head = False
        self._arrived()
        super().on_headers_complete()
        if STREAM in self.url and self.cycle is not None and self._can_adopt():
            self.scope["extensions"] = {ADOPT: {"adopt": partial(self._adopt, self.cycle)}}

    def _can_adopt(self) -> bool:
        return self.scope["http_version"] == "1.1" and self.scope["method"] == "GET"

    def _adopt(self, cycle: RequestResponseCycle, stream: Stream) -> bool:
        """Leaves the connection to a stream whose head is out; False when its reader is slow, or gone."""
        if cycle.disconnected or cycle.response_complete or self.flow.write_paused or self.pipeline:
            return False
        cycle.response_complete = True  # for uvicorn this request is over
        self._rest()
        self.flow.resume_reading()  # else its end would not be noticed
        self.connections.discard(self)
        StreamProtocol(self.transport, self.connections, stream)
        return True

    def on_message_complete(self) -> None:
        self._reading = False
        self._arrived()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._reading = False
        self._rest()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = True
        self._wait(self._stall_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled = False
        if not self._reading:
            self._due = None

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this for whatever its parser, or one of our callbacks, has not taken."""
        self._refuse(self._refusal or BadRequest("this is not HTTP/1.1"))

    def _arrived(self) -> None:
        if not self._stalled:
            self._due = None

    def _wait(self, seconds: float) -> None:
        self._due = due = self.loop.time() + seconds
        if self._watch is not None:
            if self._watch.when() <= due:
                return
            self._watch.cancel()
        self._watch = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        """The timer has rung. It is not moved with every request, so that there may be nothing to do yet."""
        self._watch = None
        if self._due is None:
            return
        if self.loop.time() < self._due:
            self._watch = self.loop.call_at(self._due, self._look)
        elif self._stalled:
            self.transport.abort()
        elif not self._reading or (self._in_head and not self._taken):
            self.transport.close()  # asked for nothing: browsers open connections in advance
        else:
            self._refuse(TooSlow("the request did not arrive in time"))

    def _rest(self) -> None:
        self._due = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _refuse(self, error: PresenceError) -> None:
        """Says why, unless an answer is under way, and closes."""
        in_body, cycle = self._reading and not self._in_head, self.cycle
        self._reading = False
        self._rest()
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete and not in_body:
            cycle.keep_alive = False  # the request before it was good: its answer goes out, then we close
            return
        if cycle is None or not in_body or not cycle.response_started:
            body = orjson.dumps(problem(error))
            head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[error.status] + head % (MEDIA_TYPE.encode(), len(body)) + body)
        self.transport.close()

"""uvicorn's HTTP protocol with the limits that it lacks, against slow, silent and endless clients.

commands.serve passes it to uvicorn. A request's head and its body have `request_deadline` each. Refused as
problem+json are: with 431 a head over `header_limit`, with 413 a body whose chunk framing is over that limit,
with 400 input that is not HTTP and too many pipelined requests.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..errors import BadRequest, HeadTooLarge, PresenceError, TooLarge, TooSlow
from ..web.problems import MEDIA_TYPE, problem
from ..web.services import Services
from ..web.sse.stream import ADOPT, Stream
from .cork import Cork
from .fair_reads import SHARE, FairReads
from .open_files import Left, OpenFiles
from .sse import SseProtocol
from .upgrade import UpgradeProtocol

PIPELINED = 32
HEADERS = 100
ECONOMY_S = 1
STREAM = b"/live"


class HttpProtocol(UpgradeProtocol):
    """One connection. Requests wait in uvicorn's pipeline until the one before is answered."""

    _in_head = True
    _taken = 0  # bytes since the last packet that ended outside of a head
    _around = 0  # bytes after this request's head, less two for each byte of its body
    _refusal: PresenceError | None = None
    flow: FairReads

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = FairReads(transport, self.loop, self.data_received)
        self._head_limit = cast(Services, self.app_state["service"]).settings.header_limit
        files: OpenFiles | None = self.app_state.get("files")
        if files is not None:
            self._economize(files.left(transport))

    def _economize(self, left: Left) -> None:
        """Near the limit of open files: refuses the connection, or allows it one quick request."""
        if left is Left.NOTHING:
            self.transport.abort()
        elif left is Left.LITTLE:
            self._request_s = min(self._request_s, ECONOMY_S)
            self.timeout_keep_alive = ECONOMY_S
            self._wait(self._request_s)

    def data_received(self, data: bytes) -> None:
        if len(data) > SHARE:
            data = self.flow.share(data)
        self._taken += len(data)
        if not self._in_head:
            self._around += len(data)
        super().data_received(data)
        if self._reading:
            if self._in_head and self._taken > self._head_limit:
                self._refuse(HeadTooLarge(f"a request's head may have at most {self._head_limit} bytes"))
            elif not self._in_head and self._around > self._head_limit:
                self._refuse(TooLarge("the framing of the body is far larger than the body"))
            if self._due is None:
                self._wait(self._request_s)
        elif self._around > self._head_limit:
            self._refuse(BadRequest("there is too much data between requests"))
        elif self._due is None and self._is_unwatched():
            self._wait(
                self._request_s
            )  # stray bytes between requests have stopped uvicorn's keep-alive timer
        if not self._in_head:
            self._taken = 0

    def _is_unwatched(self) -> bool:
        served = self.cycle is None or self.cycle.response_complete
        return served and self.timeout_keep_alive_task is None and self.transport.get_protocol() is self

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise httptools.HttpParserError("too many pipelined requests")
        super().on_message_begin()
        self._reading = self._in_head = True
        self._around = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # ignore trailers: they would be added to the headers of a request under way
            super().on_header(name, value)
            if len(self.headers) > HEADERS:
                self._refusal = HeadTooLarge(f"a request may have at most {HEADERS} headers")
                raise httptools.HttpParserError("too many headers")

    def on_body(self, body: bytes) -> None:
        self._around -= 2 * len(body)  # the framing of small chunks may be as large as they are
        super().on_body(body)

    def on_headers_complete(self) -> None:
        if self._declines():
            return
        if self._taken > self._head_limit:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._head_limit:
                self._refusal = HeadTooLarge(f"a request's head may have at most {self._head_limit} bytes")
                raise httptools.HttpParserError("the head is too large")
        self._in_head = False
        self._arrived()
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = cast(asyncio.Transport, Cork(self.transport, self.loop))
            if cast(Services, self.app_state["service"]).hub.draining:
                self.cycle.keep_alive = False  # a proxy that kept it might use it just as we exit
        if STREAM in self.url and self.cycle is not None and self._can_adopt():
            self.scope["extensions"] = {ADOPT: {"adopt": partial(self._adopt, self.cycle)}}

    def _can_adopt(self) -> bool:
        return self.scope["http_version"] == "1.1" and self.scope["method"] in ("GET", "POST")

    def _adopt(self, cycle: RequestResponseCycle, stream: Stream) -> bool:
        """Hands the connection over to a stream whose head is sent; False if its client is slow or gone."""
        if cycle.disconnected or cycle.response_complete or self.flow.write_paused:
            return False
        if self.pipeline or self._reading or self.flow.holds:
            return False
        cast(Cork, cycle.transport).release()
        cycle.response_complete = True  # as far as uvicorn is concerned
        self._rest()
        self.flow.resume_reading()  # otherwise a disconnect would not be noticed
        self.connections.discard(self)
        SseProtocol(self.transport, self.connections, stream)
        return True

    def on_message_complete(self) -> None:
        if self._declined:
            return
        self._reading = False
        self._arrived()
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has closed its sending side may still read (RFC 9112, 9.6): it gets its answer."""
        cycle = self.pipeline[0][0] if self.pipeline else self.cycle
        if self._reading or cycle is None or cycle.response_complete:
            return False
        if self.url.partition(b"?")[0].endswith(STREAM):  # nothing else would tell that its reader is gone
            return False
        cycle.keep_alive = False
        return True

    def on_response_complete(self) -> None:
        if self._served is not None:
            cast(Cork, self._served.transport).release()  # before the next answer begins
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()  # uvicorn would resume after each answer, however many requests wait

    def handle_websocket_upgrade(self) -> None:
        self._reading = False
        self._rest()
        self.flow.drop()  # nothing may be sent before the handshake's answer
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this when its parser, or one of our callbacks, has raised an error."""
        self._refuse(self._refusal or BadRequest("this is not HTTP/1.1"))

    def _give_up(self) -> None:
        if not self._reading or (self._in_head and not self._taken):
            self._close()  # no request has begun: browsers open connections in advance
        else:
            self._refuse(TooSlow("the request did not arrive in time"))

    def _refuse(self, error: PresenceError) -> None:
        """Sends the error, unless an answer is under way, and closes."""
        in_body, cycle = self._reading and not self._in_head, self.cycle
        self._reading = False
        self._rest()
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete and not in_body:
            cycle.keep_alive = False  # first the answer to the request before it, then we close
            self.flow.drop()
            self.flow.pause_reading()
            return
        if cycle is None or not in_body or not cycle.response_started:
            body = orjson.dumps(problem(error))
            head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[error.status] + head % (MEDIA_TYPE.encode(), len(body)) + body)
        self._close()

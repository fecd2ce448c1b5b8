"""uvicorn's WebSocket protocol with deadlines, rate limits for input, and time for the last messages.

commands.serve passes it to uvicorn, which by itself accepts frames at any rate, waits forever for the last
bytes to be sent, closes at shutdown before the app can send `bye`, and leaves refused input unanswered.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.http11 import Request

from ..web.services import Services
from ..web.ws.socket import ABORT
from .handshake import Handshake
from .inbox import Inbox
from .meter import socket_meters

FAREWELL_S = 0.5
LINGER_S = 0.5  # closing with unread bytes sends a reset, which may overtake our last message


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Lets the app abort its connection (ABORT), and aborts if a ping is not answered.

    Written data must be sent within `send_deadline`, also after the app has ended.
    """

    _cut: asyncio.TimerHandle | None = None
    _is_over = False
    _lingers = False
    conn: Handshake

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = Inbox()  # type: ignore[assignment]
        self._service = cast(Services, self.app_state["service"])
        frames, self._bytes = socket_meters(self._service.settings)
        options = {"max_size": self.config.ws_max_size, "logger": self.logger}
        self.conn = Handshake(frames, self.loop.time, **options)

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            return
        now = self.loop.time()
        if self._bytes.take(len(data), now):
            super().data_received(data)
            if not self.handshake_initiated:
                self._turn_away()
        else:
            self.conn.end(self._bytes.refusal(now))
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Input was invalid, too large or too fast: tells the app of a disconnect, and the client why."""
        refusal, sent = self.conn.refusal, self.conn.close_sent
        if refusal is not None:
            self._service.metrics.over_rate(refusal.policy)
        if sent is None and not self.handshake_complete:
            status = HTTPStatus.TOO_MANY_REQUESTS if refusal else HTTPStatus.BAD_REQUEST
            self.transport.write(
                self.conn.reject(status, "no data may be sent before the handshake is answered").serialize()
            )
        else:
            self.transport.write(b"".join(self.conn.data_to_send()))
        code, reason = (sent.code, sent.reason) if sent else (1006, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_sent = self.handshake_complete = True
        self._linger()

    def _linger(self) -> None:
        """Stops reading, and closes when the last message has had time to arrive."""
        self._lingers = True
        self.read_paused = False  # otherwise uvicorn would resume reading when the app has taken its messages
        self.transport.pause_reading()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)
        self._cut_later()

    def _turn_away(self) -> None:
        """Answers a handshake that the library refuses; it is complete, as server.http has parsed it."""
        answer = b"".join(self.conn.data_to_send())
        if not answer:
            answer = self.conn.reject(HTTPStatus.BAD_REQUEST, "this is not a WebSocket handshake").serialize()
        self.transport.write(answer)
        self.transport.close()
        self._cut_later()

    def send_receive_event_to_app(self) -> None:
        """Closes with 1007 if a text is not UTF-8, without a line in the log: it is the client's mistake."""
        self.frames = [b"".join(self.frames)]
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(self.frames[0]):
            self.frames = []
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Does not answer while the client is not reading: the answers would pile up."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # an HTTP answer counts too, which uvicorn does not note

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()  # do not read from a client that does not read
        self._cut_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused and not self._lingers and not self.transport.is_closing():
            self.transport.resume_reading()
        if not self._is_over:
            self._keep()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._is_over = True
        if not self.disconnected:
            self._cut_later()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._keep()

    def _cut_later(self) -> None:
        if self._cut is None:
            deadline_s = self._service.settings.send_deadline
            self._cut = self.loop.call_later(deadline_s, self.transport.abort)

    def _keep(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # the handshake is valid, and the app has not run yet
            self.scope["extensions"][ABORT] = {"abort": self.transport.abort}

    def shutdown(self) -> None:
        """The app was told as well (Hub.close) and sends `bye`; sockets still open after that are closed."""
        self.loop.call_later(FAREWELL_S, self._shut)

    def _shut(self) -> None:
        if not self.disconnected:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def start_keepalive(self) -> None:
        """The handshake is complete: frees a few kilobytes that are not needed any more."""
        super().start_keepalive()
        self.request = self.response = None  # type: ignore[assignment]
        self.scope["headers"] = []


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

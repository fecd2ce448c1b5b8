"""uvicorn's WebSocket protocol with an end to every wait, a rate for what comes in, and time for last words.

Named by commands.serve. uvicorn takes frames as fast as they come, and waits for ever for last bytes to go;
at shutdown it closes before the app can say goodbye; what its library refuses it leaves without an answer.
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
LINGER_S = 0.5  # a close while bytes are unread ends in a reset, which may overtake our last words


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Lets the app abort its connection (ABORT), and aborts when a ping stays unanswered.

    What was written has `send_deadline` to go out; the same is all the time that is left after the app's end.
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
        """What came is not WebSocket, too large, or too much: the app hears of an end, the client why."""
        refusal, said = self.conn.refusal, self.conn.close_sent
        if refusal is not None:
            self._service.metrics.over_rate(refusal.policy)
        if said is None and not self.handshake_complete:
            status = HTTPStatus.TOO_MANY_REQUESTS if refusal else HTTPStatus.BAD_REQUEST
            self.transport.write(
                self.conn.reject(status, "nothing may be sent before the answer").serialize()
            )
        else:
            self.transport.write(b"".join(self.conn.data_to_send()))
        code, reason = (said.code, said.reason) if said else (1006, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_sent = self.handshake_complete = True
        self._linger()

    def _linger(self) -> None:
        """Reads nothing more, and closes when the last words have had time to arrive."""
        self._lingers = True
        self.read_paused = False  # for uvicorn, which would read on when the app has taken its messages
        self.transport.pause_reading()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)
        self._cut_later()

    def _turn_away(self) -> None:
        """The handshake, which comes whole (server.http), is none that the library takes."""
        said = b"".join(self.conn.data_to_send())
        if not said:
            said = self.conn.reject(HTTPStatus.BAD_REQUEST, "this is no WebSocket handshake").serialize()
        self.transport.write(said)
        self.transport.close()
        self._cut_later()

    def send_receive_event_to_app(self) -> None:
        """A text that is none is its sender's mistake: 1007, and nothing in the log."""
        self.frames = [b"".join(self.frames)]
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(self.frames[0]):
            self.frames = []
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Not answered while the client takes nothing: answers to what was read already would pile up."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # also by an HTTP answer, which uvicorn takes for none

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.pause_reading()  # who takes nothing has nothing to say
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
        if not self.close_sent:  # the handshake is sound, and the app has yet to run
            self.scope["extensions"][ABORT] = {"abort": self.transport.abort}

    def shutdown(self) -> None:
        """The app has been told as well (Hub.close), and says `bye`; whatever still stands then is closed."""
        self.loop.call_later(FAREWELL_S, self._shut)

    def _shut(self) -> None:
        if not self.disconnected:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def start_keepalive(self) -> None:
        """The handshake is out: what it was made of is a few kilobytes that nobody needs again."""
        super().start_keepalive()
        self.request = self.response = None  # type: ignore[assignment]
        self.scope["headers"] = []


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

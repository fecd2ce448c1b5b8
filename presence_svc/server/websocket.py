"""uvicorn's WebSocket protocol with an end to every wait, and time for last words.

Named by commands.serve. uvicorn closes a connection only once its last bytes have gone out, which a client
can put off for ever; at shutdown it closes before the app can say goodbye; it leaves handshakes that its
library refuses without an answer, and logs as errors what any client can do.
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

FAREWELL_S = 0.5


class Inbox:
    """What uvicorn asks of a queue that one task reads, in a tenth of an asyncio.Queue's 3 KB."""

    __slots__ = ("_events", "_waiter")

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        """Bounded by uvicorn: it reads nothing more until the last message was taken."""
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def empty(self) -> bool:
        return not self._events

    async def get(self) -> Any:
        while not self._events:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._events.pop(0)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Lets the app abort its connection (ABORT), and aborts when a ping stays unanswered.

    What was written has `send_deadline` to go out; the same is all the time that is left after the app's end.
    """

    _cut: asyncio.TimerHandle | None = None
    _is_over = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = Inbox()  # type: ignore[assignment]
        self.conn = Handshake(max_size=self.config.ws_max_size, logger=self.logger)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated:
            self._turn_away()

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
        if not self.read_paused and not self.transport.is_closing():
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
            deadline_s = cast(Services, self.app_state["service"]).settings.send_deadline
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

"""uvicorn's HTTP protocol with an end to every wait: for what a client should send, for what it should take.

The half of server.http that ends connections. What was written has `send_deadline` to go out, also after a
close. One timer per connection, which honest requests (complete in one packet) never touch.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..web.services import Services
from .shutdown import Shutdown


class TimeoutProtocol(HttpToolsProtocol):
    """`_due` is when we stop waiting for the client; None while nothing is awaited from it."""

    _due: float | None = None
    _watch: asyncio.TimerHandle | None = None
    _reading = True  # a request's head or body is incomplete, or the first one has not begun
    _stalled = False
    _served: RequestResponseCycle | None = None  # the request that the app works on; uvicorn knows the last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        settings = cast(Services, self.app_state["service"]).settings
        self._request_s, self._send_s = settings.request_deadline, settings.send_deadline
        self._wait(self._request_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)
        if self._served is not None:  # behind others it would write to a connection that is no more
            self._served.disconnected = True
            self._served.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._served = None
        super().on_response_complete()
        self._end_if_closing()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = True
        self._wait(self._send_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled = False
        if not self._reading and not self.transport.is_closing():
            self._due = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._end_if_closing()

    def shutdown(self) -> None:
        """A request that is on its way is answered: its client cannot know yet that this process ends."""
        ending: Shutdown | None = self.app_state.get("shutdown")
        if ending is None or not ending.last_request_s or not self._is_idle():
            super().shutdown()
            self._end_if_closing()
            return
        self._request_s = min(self._request_s, ending.last_request_s)
        if self._due is None or self._due > self.loop.time() + self._request_s:
            self._wait(self._request_s)

    def _is_idle(self) -> bool:
        """No answer is under way; a part of a request may be."""
        served = self.cycle is None or self.cycle.response_complete
        return served and not self._stalled and not self.transport.is_closing()

    def _close(self) -> None:
        self.transport.close()
        self._end_if_closing()

    def _end_if_closing(self) -> None:
        """A close waits for what was written to go out, and without this for ever."""
        if self.transport.is_closing():
            self._wait(self._send_s)

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
        elif self._stalled or self.transport.is_closing():
            self.transport.abort()
        else:
            self._give_up()

    def _give_up(self) -> None:
        """The client says nothing."""
        self._close()

    def _rest(self) -> None:
        self._due = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

"""The fast path: answers an ordinary heartbeat from uvicorn's parser, without scope, task or response object.

commands.serve passes it to uvicorn as the HTTP protocol (off with PRESENCE_FAST_PATH=false). It only takes a
POST to the heartbeat's path over HTTP/1.1 with a small body of known length, if nothing else is under way on
the connection. Everything else goes to the ASGI app, which answers the same to the byte (web.heartbeat).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import lru_cache, partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..errors import BadRequest, PresenceError
from ..store.write import Outcome
from ..web.heartbeat import Admitted, Header, HeartbeatHandler, RawResponse
from ..web.heartbeat_cache import CachedHeartbeat
from .http import HttpProtocol
from .request_head import HeadCache, HeartbeatCycle, HeartbeatHead


class FastPathProtocol(HttpProtocol):
    """One connection. Requests that arrive while a heartbeat is under way wait in uvicorn's own pipeline."""

    _heads = HeadCache()
    _packet = b""
    _idle = False
    _last: tuple[tuple[Header, ...], list[Header], bytes] = ((), [], b"")  # a head's parts, and the head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._handler = cast(HeartbeatHandler, self.app_state["handler"])
        self._peer = self.client[0] if self.client else ""

    def data_received(self, data: bytes) -> None:
        self._leave_idle()
        if not self._is_between():
            self._packet = b""
            super().data_received(data)
            return
        # The last line end is the head's. A body that has a carriage return too is the parser's to read.
        end = data.rfind(b"\r") + 2
        head = self._heads.find(data[:end])
        if head is None or len(data) != end + head.length or end > self._head_limit:
            self._packet = data
            super().data_received(data)
            return
        # Exactly one whole request, with a known head: the parser need not read it again.
        self._due = None
        cycle: Any = HeartbeatCycle(head)
        cycle.more_body = False
        self.cycle = cycle
        self._begin(cycle, data[end:])

    def _is_between(self) -> bool:
        """Whether no request, part of a request or unread answer is under way."""
        cycle = self.cycle
        if self._reading or self._stalled or self.pipeline:
            return False
        return cycle is not None and cycle.response_complete

    def on_headers_complete(self) -> None:
        packet, self._packet = self._packet, b""  # only the first head in a packet is at its start
        head = self._read_head()
        if head is None:
            super().on_headers_complete()
            return
        self._in_head = False
        self._due = None
        self.cycle = cast(Any, HeartbeatCycle(head))
        end = packet.find(b"\r\n\r\n") + 4
        if len(packet) == end + head.length and packet.startswith(b"POST "):
            self._heads.remember(packet[:end], head)

    def _read_head(self) -> HeartbeatHead | None:
        """The parsed head, if the request may take the fast path."""
        if self._stalled or (self.cycle is not None and not self.cycle.response_complete):
            return None
        parser = self.parser
        if (
            parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
        ):
            return None
        if self._taken > self._head_limit:
            return None
        return HeartbeatHead.read(self.url, self.headers, self._handler.body_limit, self._handler.origins)

    def on_message_complete(self) -> None:
        cycle: Any = self.cycle
        super().on_message_complete()
        if type(cycle) is HeartbeatCycle and not cycle.response_complete:
            self._begin(cycle, cycle.body)

    def _begin(self, cycle: HeartbeatCycle, content: bytes) -> None:
        handler, head = self._handler, cycle.head
        try:
            admitted = handler.admit(head.authorization, self._peer, head.course_id, content)
            if not isinstance(admitted, tuple):
                self._wait_for(cycle, admitted)
                return
            cached, seq = admitted
            handler.service.presence.post(cached.write, seq, partial(self._done, cycle, cached))
        except PresenceError as error:
            # Not from within the parser: a request that follows in this packet must wait for this answer.
            self.loop.call_soon(self._write, cycle, handler.failed(error, head.origin))
        except Exception:
            self.loop.call_soon(self._write, cycle, self._broken(cycle))

    def _wait_for(self, cycle: HeartbeatCycle, admitted: Awaitable[Admitted]) -> None:
        """Waits in a task for keys that must be fetched to judge this heartbeat, which is rare."""

        async def record() -> None:
            try:
                cached, seq = await admitted
                presence = self._handler.service.presence
                self._done(cycle, cached, await presence.heartbeat(cached.write, seq))
            except PresenceError as error:
                self._write(cycle, self._handler.failed(error, cycle.head.origin))
            except Exception:
                self._write(cycle, self._broken(cycle))
            finally:
                if not cycle.response_complete:
                    self._close()

        task = self.loop.create_task(record())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _done(self, cycle: HeartbeatCycle, cached: CachedHeartbeat, result: Outcome) -> None:
        origin = cycle.head.origin
        try:
            if isinstance(result, PresenceError):
                reply = self._handler.failed(result, origin)
            else:
                reply = self._handler.recorded(cached, result, origin)
        except Exception:
            reply = self._broken(cycle)
        self._write(cycle, reply)

    def _broken(self, cycle: HeartbeatCycle) -> RawResponse:
        """The last resort: the client gets an answer, whatever went wrong here."""
        cycle.keep_alive = False
        return self._handler.broken(cycle.head.origin)

    def _write(self, cycle: HeartbeatCycle, reply: RawResponse) -> None:
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        status, headers, content = reply
        defaults = self.server_state.default_headers  # a new list every second, because of the date
        if headers is not self._last[0] or defaults is not self._last[1]:
            self._last = headers, defaults, _head(status, headers, *defaults)
        closing = b"" if cycle.keep_alive else b"connection: close\r\n"
        self.transport.write(
            b"%bcontent-length: %d\r\n%b\r\n%b" % (self._last[2], len(content), closing, content)
        )
        if not cycle.keep_alive:
            self.transport.close()
        if self.pipeline or self.flow.read_paused or not cycle.keep_alive:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._idle = not self._reading  # otherwise the next request's deadline is already running
            self._wait_idle()

    def _wait_idle(self) -> None:
        if self._idle and not self._stalled:
            self._wait(self.timeout_keep_alive)

    def _leave_idle(self) -> None:
        """Stops the keep-alive timer: uvicorn's, or our own after a heartbeat."""
        if self._idle:
            self._idle = False
            self._arrived()
        self._unset_keepalive_if_required()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._wait_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        cycle: Any = self.cycle
        if type(cycle) is HeartbeatCycle and cycle.more_body:
            self._handler.failed(
                BadRequest("the body is not complete"), None
            )  # to count it as the ASGI app does
        super().connection_lost(exc)


@lru_cache(1024)
def _head(status: int, headers: tuple[Header, ...], *defaults: Header) -> bytes:
    """An answer's head up to its content length: one object, shared by all connections."""
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in (*defaults, *headers))

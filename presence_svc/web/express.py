"""The express lane: a plain heartbeat is answered from uvicorn's parser, without scope, task or response objects.

Named by commands.serve as uvicorn's HTTP protocol (off with PRESENCE_EXPRESS=false). Only a POST to the
heartbeat's path over HTTP/1.1 with a small body of known length takes it, and only when nothing is under way
on its connection; all else goes to the ASGI app, which answers the same, byte for byte (web.lane).
"""

from __future__ import annotations

import asyncio
import logging
import re
from functools import lru_cache
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..errors import PresenceError, Unavailable
from ..store.batch import Beat, Recorded
from . import body
from .lane import Header, Lane, Reply
from .protocol import PresenceProtocol

log = logging.getLogger("presence.express")
# The course's id as model.ID_PATTERN has it, unescaped; whatever differs is the ASGI app's to judge.
PATH = re.compile(rb"/v1/courses/([A-Za-z0-9_.:@~|=+-]{1,128})/heartbeat\Z")
# A request with any of these is not plain.
UNUSUAL = frozenset((b"expect", b"transfer-encoding", b"upgrade", b"x-forwarded-for", b"x-forwarded-proto"))


class _Silent:
    """Stands where uvicorn keeps an event for the app that waits for a body: nobody waits here."""

    def set(self) -> None:
        pass


_SILENT = _Silent()


class Cycle:
    """A heartbeat under way; has what uvicorn's protocol asks of a request's cycle."""

    __slots__ = ("body", "course_id", "disconnected", "keep_alive", "more_body", "origin", "response_complete")
    message_event = _SILENT
    response_started = False

    def __init__(self, course_id: str, origin: bytes | None) -> None:
        self.course_id = course_id
        self.origin = origin
        self.body = b""
        self.more_body = True
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False


class ExpressProtocol(PresenceProtocol):
    """One connection. Requests that begin while a heartbeat is under way wait in uvicorn's own pipeline."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._lane = cast(Lane, self.app_state["lane"])

    def on_headers_complete(self) -> None:
        cycle = self._plain_heartbeat()
        if cycle is None:
            super().on_headers_complete()
            return
        self._in_head = False
        self._due = None
        self.cycle = cast(Any, cycle)

    def _plain_heartbeat(self) -> Cycle | None:
        """A cycle when this request may take the lane."""
        path = PATH.match(self.url)
        if path is None or (self.cycle is not None and not self.cycle.response_complete):
            return None
        parser = self.parser
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        headers = dict(self.headers)
        if len(headers) != len(self.headers) or not UNUSUAL.isdisjoint(headers):
            return None
        length = headers.get(b"content-length")
        if length is None or not length.isdigit() or len(length) > 4 or int(length) > body.CAP:
            return None
        if headers.get(b"content-type") != b"application/json" or self._taken > self._head_limit:
            return None
        return Cycle(path[1].decode(), headers.get(b"origin"))

    def on_message_complete(self) -> None:
        cycle: Any = self.cycle
        super().on_message_complete()
        if type(cycle) is Cycle and not cycle.response_complete:
            self._begin(cycle)

    def _begin(self, cycle: Cycle) -> None:
        try:
            beat, future = self._lane.begin(cycle.course_id, cycle.body)
        except PresenceError as error:
            self._write(cycle, self._lane.failed(error, cycle.origin))
        else:
            future.add_done_callback(lambda done: self._done(cycle, beat, done))

    def _done(self, cycle: Cycle, beat: Beat, done: asyncio.Future[Recorded]) -> None:
        error = done.exception() if not done.cancelled() else Unavailable("this replica is shutting down")
        if error is None:
            self._write(cycle, self._lane.recorded(beat, done.result(), cycle.origin))
        elif isinstance(error, PresenceError):
            self._write(cycle, self._lane.failed(error, cycle.origin))
        else:
            log.error("a heartbeat failed: %s", type(error).__name__)
            self._write(cycle, self._lane.failed(Unavailable("this could not be recorded"), cycle.origin))

    def _write(self, cycle: Cycle, reply: Reply) -> None:
        cycle.response_complete = True
        if cycle.disconnected or self.transport.is_closing():
            return
        closing = b"" if cycle.keep_alive else b"connection: close\r\n"
        head = b"%b%bcontent-length: %d\r\n%b\r\n%b" % (
            _head(reply.status, tuple(self.server_state.default_headers)),
            _lines(reply.headers),
            len(reply.body),
            closing,
            reply.body,
        )
        self.transport.write(head)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()


@lru_cache(64)
def _head(status: int, defaults: tuple[Header, ...]) -> bytes:
    """The status line and uvicorn's own headers, which change once a second (the date)."""
    return STATUS_LINE[status] + _lines(defaults)


@lru_cache(1024)
def _lines(headers: tuple[Header, ...]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)

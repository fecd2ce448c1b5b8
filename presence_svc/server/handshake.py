"""The websockets library's side of a socket, as server.websocket uses it: handshakes, frames, pings.

It refuses with problem+json like the rest of the service, counts the memory of a message's fragments, and
stops at the first frame beyond the rate.
"""

from __future__ import annotations

import http
from collections.abc import Callable
from typing import Any

import orjson
from websockets.exceptions import ProtocolError
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from ..auth.token_bucket import OverRate
from ..web.problems import MEDIA_TYPE
from ..web.ws.socket import STATUS, complaint
from .meter import Meter

FRAGMENT = 64  # bytes of memory for an empty fragment, approximately


class Handshake(ServerProtocol):
    """One connection. `refusal` is the exceeded rate for which it was ended, if it was."""

    def __init__(self, frames: Meter, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(**options)
        self._frames, self._clock = frames, clock
        self.refusal: OverRate | None = None

    def reject(self, status: http.HTTPStatus | int, text: str) -> Response:
        """Answers by HTTP instead of the handshake; the first line of `text` says why."""
        response = super().reject(status, text)
        title = response.reason_phrase
        detail = text.partition("\n")[0] or title
        body = {"type": "about:blank", "title": title, "status": response.status_code, "detail": detail}
        response.body = orjson.dumps(body)
        for name, value in (("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(response.body)))):
            del response.headers[name]
            response.headers[name] = value
        return response

    def end(self, refusal: OverRate) -> None:
        """Sends the reason and closes. Before the handshake's answer nothing can be sent here."""
        self.refusal = refusal
        if self.state is State.OPEN:
            self.send_text(orjson.dumps(complaint(refusal)))
            self.send_close(STATUS + refusal.status, refusal.detail)

    def recv_frame(self, frame: Frame) -> None:
        now = self._clock()
        if not self._frames.take(1, now):
            self.end(self._frames.refusal(now))
            raise ProtocolError("over the rate")  # the parser discards what follows
        super().recv_frame(frame)
        if not frame.fin and self.current_size is not None:
            self.current_size += FRAGMENT  # otherwise a message of empty fragments could be endless

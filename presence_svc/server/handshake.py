"""The websockets library's half of a socket, as server.websocket uses it: handshakes, frames, pings.

It refuses as the rest of the service does (problem+json), and counts what a message's fragments cost us.
"""

from __future__ import annotations

import http

import orjson
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.server import ServerProtocol

from ..web.problems import MEDIA_TYPE

FRAGMENT = 64  # bytes: about what is kept of an empty one


class Handshake(ServerProtocol):
    """One connection's."""

    def reject(self, status: http.HTTPStatus | int, text: str) -> Response:
        """An HTTP answer instead of the handshake; `text` says why in its first line."""
        response = super().reject(status, text)
        title = response.reason_phrase
        detail = text.partition("\n")[0] or title
        body = {"type": "about:blank", "title": title, "status": response.status_code, "detail": detail}
        response.body = orjson.dumps(body)
        for name, value in (("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(response.body)))):
            del response.headers[name]
            response.headers[name] = value
        return response

    def recv_frame(self, frame: Frame) -> None:
        super().recv_frame(frame)
        if not frame.fin and self.current_size is not None:
            self.current_size += FRAGMENT  # else a message of empty fragments would have no end

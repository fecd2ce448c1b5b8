"""uvicorn's WebSocket protocol with an end to every wait, and time for last words.

Named by commands.serve. uvicorn closes a connection only once its last bytes have gone out, which for a dead
client takes the system's quarter of an hour; and at shutdown it closes before the app can say goodbye.
"""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from .socket import ABORT

FAREWELL_S = 0.5


class SocketProtocol(WebSocketsSansIOProtocol):
    """Lets the app abort its connection (ABORT), and aborts when a ping stays unanswered."""

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

"""uvicorn's WebSocket protocol with an end to every wait: a client that takes no bytes is cut off.

Named by commands.serve. uvicorn closes such a connection only once its last bytes have gone out, which for a
dead client takes the system's quarter of an hour.
"""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from .socket import ABORT


class SocketProtocol(WebSocketsSansIOProtocol):
    """Lets the app abort its connection (ABORT), and aborts when a ping stays unanswered."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # the handshake is sound, and the app has yet to run
            self.scope["extensions"][ABORT] = {"abort": self.transport.abort}

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

"""uvicorn's HTTP protocol for clients that offer to upgrade to an unsupported protocol, such as h2c.

Used by server.http. Such a request is handled as if it had no offer (RFC 9110, 7.8); the parser would stop
after its head and drop the body. Java's HTTP client offers h2c in the first request of a connection.
"""

from __future__ import annotations

import contextlib
import sys

import httptools

from .timeouts import TimeoutProtocol

OFFERS = frozenset((b"upgrade", b"http2-settings"))


class UpgradeProtocol(TimeoutProtocol):
    """`_declined` is set from the end of such a head until it is parsed again."""

    _declined = False
    _fed = b""

    def data_received(self, data: bytes) -> None:
        self._fed = data
        super().data_received(data)
        self._fed = b""

    def _declines(self) -> bool:
        """For on_headers_complete: whether this head must be parsed again. CONNECT is for proxies."""
        self._declined = (
            self.parser.should_upgrade()
            and not self._should_upgrade()
            and self.parser.get_method() != b"CONNECT"
        )
        return self._declined

    def _unsupported_upgrade_warning(self) -> None:
        """uvicorn calls this where its parser has stopped; the parser's error says how far it has read."""
        error = sys.exception()
        if not self._declined or error is None:
            return
        self._declined = False
        head, rest = self._plain_head(), self._fed[error.args[0] :]
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(AttributeError):  # as uvicorn does
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        super().data_received(head + rest)

    def _plain_head(self) -> bytes:
        """This request's head without the offer."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in OFFERS)
            if name not in OFFERS:
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

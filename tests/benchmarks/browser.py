"""Plain sockets that play a page: one that sends requests in turn, and very many that only listen.

Used by the rows that wait for frames. Blocking, bounded by deadlines, cheap enough not to be the bottleneck.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from types import TracebackType
from typing import Any, Self

DEADLINE_S = 10.0
CHUNK = 1 << 16


class Page:
    """A kept-alive connection to 127.0.0.1:port."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sequence = 0

    def heartbeat(self, course_id: str, viewer_id: str) -> dict[str, Any]:
        """Says it and waits for the answer. Raises RuntimeError when it is not a 200."""
        self.send(course_id, viewer_id)
        return self.answer()

    def send(self, course_id: str, viewer_id: str) -> None:
        self._sequence += 1
        body = json.dumps({"viewer_id": viewer_id, "chapter_id": "ch-1", "seq": self._sequence}).encode()
        self._socket.sendall(
            b"POST /v1/courses/%b/heartbeat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (course_id.encode(), len(body), body)
        )

    def answer(self) -> dict[str, Any]:
        said = b""
        while b"\r\n\r\n" not in said or not said.endswith(b"}"):
            said += self._received()
        head, _, body = said.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(said.decode(errors="replace"))
        answer: dict[str, Any] = json.loads(body)
        return answer

    def listen(self, path: str) -> None:
        """From now on this connection is a stream; returns with its first frame."""
        self._socket.sendall(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode())
        self.wait_for(b"data:")

    def wait_for(self, word: bytes) -> float:
        """When these bytes came. Frames are small: none is split."""
        while word not in self._received():
            pass
        return time.perf_counter()

    def _received(self) -> bytes:
        data = self._socket.recv(CHUNK)
        if not data:
            raise RuntimeError("the server has closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()


class Crowd:
    """Listeners to one stream, and how many frames they have got."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = (
            b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n" % path.encode()
        )
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []

    def grow(self, n: int, hello: bytes = b"data:") -> None:
        """Opens `n` more; returns when each has been answered with `hello`."""
        for start in range(0, n, 100):
            count = min(100, n - start)
            for _ in range(count):
                one = socket.create_connection(("127.0.0.1", self._port), DEADLINE_S)
                one.sendall(self._request)
                one.setblocking(False)
                self._selector.register(one, selectors.EVENT_READ)
                self._sockets.append(one)
            self.gather(hello, count)

    def gather(self, word: bytes, n: int) -> None:
        """Reads until `n` of them have got this word. Raises TimeoutError."""
        deadline = time.monotonic() + DEADLINE_S
        while n > 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{n} of {len(self._sockets)} have not got {word!r}")
            for key, _ in self._selector.select(0.1):
                n -= word in key.fileobj.recv(CHUNK)  # type: ignore[union-attr]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        for one in self._sockets:
            one.close()


class Sockets(Crowd):
    """Viewers who have joined a course, each over a WebSocket of their own."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(port, path)
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        self._request = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%b%b" % (path.encode(), upgrade, key)

    def grow(self, n: int, hello: bytes = b'"joined"') -> None:
        """Opens `n` more, a hundred at a time; returns when each has joined."""
        for start in range(0, n, 100):
            count = min(100, n - start)
            super().grow(count, b" 101 ")
            for number, one in enumerate(self._sockets[-count:], len(self._sockets) - count):
                one.sendall(_text(b'{"type":"join","viewer_id":"user-%06d","chapter_id":"ch-1"}' % number))
            self.gather(hello, count)


def _text(message: bytes) -> bytes:
    """A client's text frame of less than 126 bytes, under a mask that changes nothing."""
    return b"\x81%c\0\0\0\0%b" % (0x80 | len(message), message)

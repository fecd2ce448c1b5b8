"""Clients that send as fast as they can, each kind in its own way. `python -m tests.faults.loud PORT KIND S`.

A process of its own, so that its work is not taken for the service's. Reads nothing, unless its kind says so;
comes back when it is cut off, a little later. Says at its end how many connections it had.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time

from websockets.frames import Frame, Opcode

ROUND_BYTES = 65_536
PAUSE_S = 0.05
SOCKET = (
    b"GET /v1/courses/loud/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BEAT = b"POST /v1/courses/loud/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"viewer_id":"loud"}'


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


JOIN = frame(Opcode.TEXT, b'{"type":"join","viewer_id":"loud"}')
CHAPTERS = b"".join(
    frame(Opcode.TEXT, b'{"type":"chapter","chapter_id":"c%d"}' % (n % 7)) for n in range(1_000)
)
# First what opens the attack, then what is repeated, at most so many bytes at once.
KINDS: dict[str, tuple[bytes, bytes]] = {
    "pings": (SOCKET, frame(Opcode.PING)),
    "pongs": (SOCKET, frame(Opcode.PONG)),
    "empty messages": (SOCKET, frame(Opcode.TEXT)),
    "fragments": (SOCKET + frame(Opcode.TEXT, b"{", fin=False), frame(Opcode.CONT, fin=False)),
    "large messages": (SOCKET, frame(Opcode.TEXT, b"x" * 60_000)),
    "binary messages": (SOCKET + JOIN, frame(Opcode.BINARY, b"x")),
    "wrong messages": (SOCKET + JOIN, frame(Opcode.TEXT, b'{"type":"nonsense"}')),
    "chapter changes": (SOCKET + JOIN, CHAPTERS),
    "pings of the joined": (SOCKET + JOIN, frame(Opcode.PING, b"x" * 125)),
    "heartbeats in a row": (b"", BEAT + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)),
    "reads in a row": (b"", b"GET /v1/courses/loud/count HTTP/1.1\r\nhost: x\r\n\r\n"),
    "unknown paths in a row": (b"", b"GET /x HTTP/1.1\r\n\r\n"),
    "garbage": (b"", bytes(range(1, 255))),
    "empty lines": (b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n"),
    "tiny headers": (b"GET /livez HTTP/1.1\r\n", b"a:b\r\n"),
    "tiny chunks": (BEAT + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a stream that is talked to": (b"GET /v1/courses/loud/live HTTP/1.1\r\nhost: x\r\n\r\n", b"x"),
}
READERS = {"heartbeats in a row, read", "reads in a row, read", "pings, read"}
for _name in READERS:
    KINDS[_name] = KINDS[_name.removesuffix(", read")]


def attack(port: int, kind: str, ends_at: float) -> None:
    """One connection, until it is cut off."""
    opening, again = KINDS[kind]
    rounds = again * max(1, ROUND_BYTES // len(again))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(opening)
        if opening.startswith(SOCKET):
            connection.settimeout(5)
            connection.recv(1_024)  # what follows the handshake at once is lost
        connection.setblocking(False)
        _send(connection, rounds, ends_at, reads=kind in READERS)


def _send(connection: socket.socket, rounds: bytes, ends_at: float, *, reads: bool) -> None:
    left = memoryview(rounds)
    while time.monotonic() < ends_at:
        select.select([connection] if reads else [], [connection], [], 0.1)
        if reads:
            with contextlib.suppress(BlockingIOError):
                if not connection.recv(1 << 20):
                    return
        try:
            left = left[connection.send(left) :]
        except BlockingIOError:
            continue
        if not left:
            left = memoryview(rounds)


def main(port: int, kind: str, seconds: float) -> None:
    ends_at, connections = time.monotonic() + seconds, 0
    while time.monotonic() < ends_at:
        connections += 1
        with contextlib.suppress(OSError):
            attack(port, kind, ends_at)
        time.sleep(PAUSE_S)
    print(connections)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))

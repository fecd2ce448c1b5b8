"""Notes down each frame that the service tells, when FRAME_LOG names a file for it.

Imported by tests.service, so that tests/described.py can hold all frames of a test to /asyncapi.json, whoever
has read them: a browser, a client behind a proxy, a socket of bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

PLACE = "FRAME_LOG"


def install(path: Path) -> None:
    """From now on what streams and sockets are told is written to this file too, a line each.

    Opened once: worker processes share it, and one without free descriptors still writes.
    """
    from presence_svc.live.frame import Frame
    from presence_svc.web.sse.stream import Stream
    from presence_svc.web.ws.socket import Socket

    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)

    def note(kind: str, text: str) -> None:
        if text:
            os.write(file, json.dumps([kind, text]).encode() + b"\n")

    make, last_words, send = Frame.__init__, Stream.last_words, Socket.send

    @wraps(make)
    def made(frame: Frame, *given: Any) -> None:
        make(frame, *given)
        note("catalogue", frame.text.decode())

    @wraps(last_words)
    def said(stream: Stream, now: float) -> bytes:
        words = last_words(stream, now)
        note("catalogue", words.decode())
        return words

    @wraps(send)
    async def sent(socket: Socket, text: str) -> None:
        note("socket", text)
        await send(socket, text)

    replaced: dict[tuple[type, str], Callable[..., Any]] = {
        (Frame, "__init__"): made,
        (Stream, "last_words"): said,
        (Socket, "send"): sent,
    }
    for (owner, name), replacement in replaced.items():
        setattr(owner, name, replacement)


if place := os.environ.get(PLACE):
    install(Path(place))

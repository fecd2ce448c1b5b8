"""A response's head and body leave in one write, and a head whose body is not there leaves at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from presence_svc.server.cork import SMALL, Cork
from presence_svc.server.http import HttpProtocol
from presence_svc.settings import Settings
from tests.server.clock import Clock, Wire

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
BODY = {"type": "http.response.body", "body": b"body"}


class Held:
    """A cork on a wire, and the loop whose next turn a test makes."""

    def __init__(self) -> None:
        self.clock, self.wire = Clock(), Wire()
        self.cork = Cork(cast(Any, self.wire), cast(Any, self.clock))


def test_what_follows_in_the_same_turn_goes_with_the_head() -> None:
    """One write; what comes later is written as it comes."""
    held = Held()

    held.cork.write(b"head")
    assert held.wire.written == []
    held.cork.write(b" body")
    held.clock.passes(0)
    held.cork.write(b" more")

    assert held.wire.written == [b"head body", b" more"]


def test_a_head_alone_leaves_with_the_turn() -> None:
    """A stream's head is not kept until there is something to tell."""
    held = Held()

    held.cork.write(b"head")
    held.clock.passes(0)
    held.cork.write(b"frame")

    assert held.wire.written == [b"head", b"frame"]


def test_a_close_lets_the_head_out_first() -> None:
    """An answer without a body, on a connection that ends with it."""
    held = Held()

    held.cork.write(b"head")
    held.cork.close()
    held.clock.passes(0)

    assert (held.wire.written, held.wire.ended) == ([b"head"], "closed")


def test_a_large_body_is_not_copied() -> None:
    held, body = Held(), b"x" * (SMALL + 1)

    held.cork.write(b"head")
    held.cork.write(body)

    assert held.wire.written == [b"head", body]
    assert held.wire.written[1] is body


def test_nothing_is_written_once_the_connection_is_gone() -> None:
    held = Held()

    held.cork.write(b"head")
    held.wire.abort()
    held.clock.passes(0)

    assert held.wire.written == []


@pytest.mark.parametrize(
    ("method", "messages", "written"),
    [
        ("GET", [HEAD, BODY], [b"body"]),
        ("HEAD", [HEAD, {"type": "http.response.body", "body": b""}], [b"\r\n\r\n"]),
        ("GET", [HEAD, {**BODY, "body": b"bo", "more_body": True}, {**BODY, "body": b"dy"}], [b"bo", b"dy"]),
    ],
)
async def test_the_app_answers_in_as_few_writes_as_it_can(
    method: str, messages: list[dict[str, Any]], written: list[bytes]
) -> None:
    """By uvicorn's own cycle: each write ends as it should, and there is none for the head alone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    service = SimpleNamespace(settings=Settings(), hub=SimpleNamespace(draining=False))
    config = uvicorn.Config(cast(Any, app), ws="none", log_config=None)
    state: dict[str, Any] = {"service": service}
    wire, loop = Wire(), asyncio.get_running_loop()
    wire.protocol = protocol = HttpProtocol(config, ServerState(), state, _loop=loop)
    protocol.connection_made(cast(Any, wire))

    protocol.data_received(b"%b / HTTP/1.1\r\nhost: x\r\n\r\n" % method.encode())
    await asyncio.wait(protocol.tasks)
    protocol.connection_lost(None)

    assert len(wire.written) == len(written)
    assert wire.written[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert all(got.endswith(end) for got, end in zip(wire.written, written, strict=True))

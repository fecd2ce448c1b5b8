"""`watch` by a stream: what is no stream is told, what ends is opened again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from presence_svc.client import stream as module
from presence_svc.client.stream import stream
from presence_svc.errors import PresenceError, Unavailable
from presence_svc.model import Count

COUNT = Count(course_id="c1", total=1, named=1, anonymous=0, chapters={}, version=1, as_of=1, warming=False)
EVENTS = "200 OK\r\ncontent-type: text/event-stream"


def event(total: int) -> str:
    data = COUNT.model_copy(update={"total": total}).model_dump_json()
    return f": hello\n\nevent: viewers\ndata: {{}}\n\nevent: count\nid: 1\ndata: {data}\n\n"


@asynccontextmanager
async def answering(*answers: tuple[str, str]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that gives one (head, body) after the other, then the last for ever; and what it was asked."""
    asked: list[str] = []
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        head, body = answers[min(len(asked), len(answers)) - 1]
        writer.write(f"HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    await asyncio.sleep(0.02)  # whoever was accepted last has a writer by now
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("head", "body", "error", "words"),
    [
        ("200 OK\r\ncontent-type: text/html", "<p>hello", PresenceError, "not a presence service"),
        ("404 Not Found", "nothing", PresenceError, "not a presence service"),
        ("503 Service Unavailable", "later", Unavailable, "503"),
        (
            "403 Forbidden\r\ncontent-type: application/problem+json",
            '{"type": "t", "title": "Forbidden", "status": 403, "detail": "not this course"}',
            PresenceError,
            "not this course",
        ),
        (EVENTS, "event: count\ndata: {}\n\n", PresenceError, "not a presence service"),
    ],
)
async def test_what_is_no_stream_is_told(
    head: str, body: str, error: type[PresenceError], words: str
) -> None:
    """One error of ours, with the service's own words where there are some."""
    async with answering((head, body)) as (url, _):
        with pytest.raises(error, match=words):
            await anext(stream(url, "c1"))


async def test_what_ends_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean end, and a service that is away for a moment, cost a pause; the key goes along."""
    monkeypatch.setattr(module, "PAUSE_S", (0.0, 0.01))
    away = ("503 Service Unavailable", "")
    async with (
        answering((EVENTS, event(1)), away, (EVENTS, event(2))) as (url, asked),
        aclosing(stream(url, "..", "a-key")) as counts,
    ):
        told = [(await anext(counts)).total for _ in range(2)]

    assert told == [1, 2]
    assert len(asked) == 3
    assert all(
        "authorization: Bearer a-key" in one.replace("Authorization", "authorization") for one in asked
    )
    assert all(one.startswith("GET /v1/courses/%2E%2E/live ") for one in asked)

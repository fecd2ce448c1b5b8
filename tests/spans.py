"""An app in this process whose spans are kept in memory, and requests to it without a socket.

Used by the tests of traces. Skips them where the extra `otel` is not installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

pytest.importorskip("opentelemetry.sdk.trace", reason="the extra `otel` is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from presence_svc import settings as settings_
from presence_svc.app import create_app

EXPORTER = InMemorySpanExporter()
Message = MutableMapping[str, Any]


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Empty. The process has one provider for ever, as OpenTelemetry has it."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
        trace.set_tracer_provider(provider)
    EXPORTER.clear()
    yield EXPORTER
    EXPORTER.clear()


@asynccontextmanager
async def running(redis_url: str, **settings: Any) -> AsyncIterator[Any]:
    """The app with traces, within its lifespan."""
    app = create_app(settings_.load(redis_url=redis_url, otel=True, **settings))
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    lifespan: asyncio.Future[None] = asyncio.ensure_future(
        app({"type": "lifespan", "state": {}}, inbox.get, outbox.put)
    )
    await inbox.put({"type": "lifespan.startup"})
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    try:
        yield app
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        await lifespan


def client(app: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test")


def servers(spans: tuple[ReadableSpan, ...]) -> list[ReadableSpan]:
    return [span for span in spans if span.kind is trace.SpanKind.SERVER]


def exchanges(spans: tuple[ReadableSpan, ...]) -> list[ReadableSpan]:
    return [span for span in spans if span.kind is trace.SpanKind.CLIENT]


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    found: int = span.context.span_id
    return found


def parent_of(span: ReadableSpan) -> int | None:
    """The id of the span above it."""
    return None if span.parent is None else span.parent.span_id


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})

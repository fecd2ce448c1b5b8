"""OpenTelemetry's spans: one per API request, one per exchange with Redis. Imported with PRESENCE_OTEL=on.

Used by web.request_spans and store.traced. The provider is the process's own; one that is there already
(opentelemetry-instrument) is used, and left alone. No span tells an id, a name, a path with ids in it, an
address or a token.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import cast

from opentelemetry import context, propagate, trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span as Span
from opentelemetry.trace import SpanKind, Status, StatusCode

from . import __version__
from .errors import Misconfigured

STOP_S = 2.0  # for what has not been exported yet, at the end
MAX_LINKS = 128
EXPORTERS = "opentelemetry_traces_exporter"
LINKS = context.create_key("presence-links")
GROUP = context.create_key("presence-group")
_tracer = trace.get_tracer("presence_svc", __version__)


def start() -> Callable[[], None]:
    """Begins to export, unless this process has a provider. Returns what ends it. Raises Misconfigured."""
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return lambda: None
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    name = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if name != "none":
        provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
    trace.set_tracer_provider(provider)
    return lambda: _stop(provider)


def _resource() -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    found = Resource.create({SERVICE_VERSION: __version__})
    unnamed = str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    return found.merge(Resource({SERVICE_NAME: "presence-svc"})) if unnamed else found


def _exporter(name: str) -> SpanExporter:
    found = list(entry_points(group=EXPORTERS, name="otlp_proto_http" if name == "otlp" else name))
    if not found:
        raise Misconfigured(f"OTEL_TRACES_EXPORTER: no exporter of this name is installed: {name}")
    return cast(SpanExporter, found[0].load()())


def _stop(provider: TracerProvider) -> None:
    """A collector that hangs must not keep the process: what is not sent by then is lost."""
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(STOP_S)


def open_request(name: str, headers: Mapping[str, str], attributes: Mapping[str, str]) -> Span:
    """A request's span, below the one that its headers name. It is not current: see `within`."""
    return _tracer.start_span(
        name, context=propagate.extract(headers), kind=SpanKind.SERVER, attributes=attributes
    )


def answered(span: Span, status: int) -> None:
    """Notes the status of the answer; 5xx are errors, what a client has done wrong is none of ours."""
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        _failed(span, str(status))


def close(span: Span) -> None:
    """Ends it, once."""
    if span.is_recording():
        span.end()


@contextmanager
def within(span: Span) -> Iterator[None]:
    """What is asked of Redis in here is for this request. Ends the span."""
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    except BaseException as error:
        _failed(span, type(error).__name__)
        raise
    finally:
        context.detach(token)
        close(span)


def current() -> Span | None:
    """The request that we work for, while it is under way and its span is kept."""
    span = trace.get_current_span()
    return span if span.is_recording() else None


@contextmanager
def for_requests(spans: Sequence[Span], group: int) -> Iterator[None]:
    """What is asked of Redis in here is for all of these: below the first, with links to the others."""
    alive = [span for span in spans if span.is_recording()]
    scope = trace.set_span_in_context(alive[0], context.Context()) if alive else context.Context()
    links = [trace.Link(span.get_span_context()) for span in alive[1 : MAX_LINKS + 1]]
    scope = context.set_value(GROUP, group, context.set_value(LINKS, links, scope))
    token = context.attach(scope)
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def exchange(commands: int) -> Iterator[Callable[[str], None]]:
    """A span of one exchange with Redis, if it is for a request. Gives what takes the code of an error."""
    if current() is None:
        yield lambda code: None
        return
    group = context.get_value(GROUP)
    attributes: dict[str, str | int] = {"db.system.name": "redis", "db.operation.batch.size": commands}
    if group is not None:
        attributes["presence.group.size"] = cast(int, group)
    links = cast("list[trace.Link]", context.get_value(LINKS) or [])
    span = _tracer.start_span("redis", kind=SpanKind.CLIENT, links=links, attributes=attributes)
    try:
        yield lambda code: _failed(span, code)
    except BaseException as error:
        _failed(span, type(error).__name__)
        raise
    finally:
        span.end()


def _failed(span: Span, kind: str) -> None:
    """By its kind alone: a message may hold what nobody may read here."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))

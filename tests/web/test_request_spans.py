"""With PRESENCE_OTEL=on each API request leaves one span, and its exchange with Redis another: no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.spans import Message, client, exchanges, exporter, facts, id_of, parent_of, running, servers

__all__ = ["exporter"]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
HEARTBEAT = "POST /v1/courses/{course_id}/heartbeat"


class Exchange:
    """One ASGI connection by hand: what the app sends is kept, and what it waits for may never come."""

    def __init__(self, **scope: Any) -> None:
        self.scope = {"headers": [], "query_string": b"", "client": ("1.2.3.4", 1), "scheme": "http"} | scope
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()

    def start(self, app: Any) -> asyncio.Task[None]:
        return asyncio.ensure_future(app(self.scope, self.inbox.get, self.sent.put))


async def test_a_write_leaves_its_request_and_its_exchange(server: EmbeddedServer, exporter: Any) -> None:
    """A heartbeat is two spans of one trace, the caller's; no id and no name is in them."""
    async with running(server.url) as app, client(app) as http:
        beat = {"viewer_id": "secret-viewer", "name": "Ada", "chapter_id": "ch-1"}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        reply = await http.post("/v1/courses/secret-course/heartbeat", json=beat, headers=headers)
        assert reply.status_code == 200

        spans = exporter.get_finished_spans()

    (request,), (exchange,) = servers(spans), exchanges(spans)
    assert request.name == HEARTBEAT
    assert facts(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/courses/{course_id}/heartbeat",
        "http.response.status_code": 200,
        "url.scheme": "http",
    }
    assert exchange.name == "redis"
    assert facts(exchange) == {
        "db.system.name": "redis",
        "db.operation.batch.size": 1,
        "presence.group.size": 1,
    }
    assert f"{request.context.trace_id:032x}" == f"{exchange.context.trace_id:032x}" == TRACE
    assert parent_of(request) == int(PARENT, 16)
    assert parent_of(exchange) == id_of(request)
    told = "".join(span.to_json() for span in spans)
    assert "secret" not in told
    assert "Ada" not in told


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/courses/c/count", "/v1/courses/{course_id}/count"),
        ("/v1/counts?course_id=c", "/v1/counts"),
        ("/v1/courses/c/viewers", "/v1/courses/{course_id}/viewers"),
        ("/v1/courses/c/history", "/v1/courses/{course_id}/history"),
    ],
)
async def test_a_read_leaves_the_same(server: EmbeddedServer, exporter: Any, path: str, route: str) -> None:
    """Reads that share an exchange and reads that have their own: all that they ask is below them."""
    async with running(server.url) as app, client(app) as http:
        assert (await http.get(path)).status_code == 200

        spans = exporter.get_finished_spans()

    (request,) = servers(spans)
    assert request.name == f"GET {route}"
    assert exchanges(spans)
    assert {parent_of(span) for span in exchanges(spans)} == {id_of(request)}


async def test_below_a_path_of_a_proxy_routes_are_the_same(server: EmbeddedServer, exporter: Any) -> None:
    async with running(server.url, root_path="/presence") as app, client(app) as http:
        assert (await http.get("/presence/v1/courses/c/count")).status_code == 200
        assert (await http.get("/v1/courses/c/count")).status_code == 200

        names = {span.name for span in servers(exporter.get_finished_spans())}

    assert names == {"GET /v1/courses/{course_id}/count"}


async def test_pages_health_checks_and_strays_leave_none(server: EmbeddedServer, exporter: Any) -> None:
    async with running(server.url) as app, client(app) as http:
        for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/demo", "/nowhere", "/v1/nowhere"):
            await http.get(path)
        await http.options("/v1/courses/c/count")

        assert exporter.get_finished_spans() == ()


async def test_what_a_client_does_wrong_is_no_error_of_ours(server: EmbeddedServer, exporter: Any) -> None:
    """4xx leave the status unset, and ask Redis for nothing."""
    async with running(server.url) as app, client(app) as http:
        assert (await http.post("/v1/courses/c/heartbeat", json={})).status_code == 422
        (refused,) = exporter.get_finished_spans()
        assert (refused.status.status_code.name, facts(refused).get("error.type")) == ("UNSET", None)


async def test_an_absent_redis_is_an_error_at_both_spans(exporter: Any) -> None:
    """By its kind alone: what Redis or the network said may tell an address."""
    with EmbeddedServer() as own:
        async with running(own.url) as app, client(app) as http:
            assert (await http.get("/v1/courses/c/count")).status_code == 200
            exporter.clear()
            own.stop()

            assert (await http.get("/v1/courses/c/count")).status_code == 503

            spans = exporter.get_finished_spans()
    (request,), (exchange,) = servers(spans), exchanges(spans)
    assert (request.status.status_code.name, facts(request)["error.type"]) == ("ERROR", "503")
    assert exchange.status.status_code.name == "ERROR"
    assert request.events == exchange.events == ()


async def test_a_stream_leaves_its_opening_alone(server: EmbeddedServer, exporter: Any) -> None:
    """The span has ended while the stream is open, and no frame of it leaves another."""
    stream = Exchange(type="http", method="GET", path="/v1/courses/streamed/live", http_version="1.1")
    async with running(server.url, publish_interval=0.05) as app, client(app) as http:
        task = stream.start(app)
        assert (await stream.sent.get())["status"] == 200
        await stream.sent.get()
        (opened,) = servers(exporter.get_finished_spans())
        assert opened.name == "GET /v1/courses/{course_id}/live"
        exporter.clear()

        for viewer in ("one", "two", "three"):
            beat = {"viewer_id": viewer}
            assert (await http.post("/v1/courses/streamed/heartbeat", json=beat)).status_code == 200
            while b"event: count" not in (await stream.sent.get())["body"]:
                pass

        spans = exporter.get_finished_spans()
        stream.inbox.put_nowait({"type": "http.disconnect"})
        await task
    assert [span.name for span in servers(spans)] == [HEARTBEAT] * 3
    assert len(exchanges(spans)) == 3


async def test_a_socket_leaves_its_opening_alone(server: EmbeddedServer, exporter: Any) -> None:
    """What it says and hears while it is open leaves no span; its opening is one, with status 101."""
    socket = Exchange(type="websocket", path="/v1/courses/socketed/ws", scheme="ws", subprotocols=[])
    async with running(server.url) as app:
        task = socket.start(app)
        socket.inbox.put_nowait({"type": "websocket.connect"})
        assert (await socket.sent.get())["type"] == "websocket.accept"
        socket.inbox.put_nowait({"type": "websocket.receive", "text": '{"type":"join","viewer_id":"u1"}'})
        while '"joined"' not in (said := (await socket.sent.get())).get("text", ""):
            assert '"error"' not in said.get("text", "")

        spans = exporter.get_finished_spans()
        socket.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await task
    (opened,) = spans
    assert opened.name == "GET /v1/courses/{course_id}/ws"
    assert facts(opened)["http.response.status_code"] == 101

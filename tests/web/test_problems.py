"""Problems: every error of ours and of the framework as RFC 9457, and nothing of the inside."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from presence_svc import errors
from presence_svc.web.dispatch import Dispatch
from presence_svc.web.problems import HANDLERS, headers_of, problem
from tests.web.handler import HandlerRig

SAMPLES: list[errors.PresenceError] = [
    errors.Unavailable("away", retry_after_s=0.2),
    errors.BadRequest("no"),
    errors.Unauthorized("who"),
    errors.Forbidden("not you"),
    errors.TooLarge("too much"),
    errors.Unsupported("what"),
    errors.Encoded("what"),
    errors.Invalid([("/a", "is wrong"), ("/b/0", "too")]),
    errors.Limited("slow down", retry_after_s=1.2),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_each_error_is_a_problem(error: errors.PresenceError) -> None:
    """Stable type, title, status and detail; pointers for what is invalid."""
    body, headers = problem(error), headers_of(error)

    assert body["type"] == f"urn:presence:{type(error).__name__.lower()}"
    assert (body["title"], body["status"], body["detail"]) == (error.title, error.status, error.detail)
    assert ("errors" in body) == isinstance(error, errors.Invalid)
    assert headers["cache-control"] == "no-store"
    assert ("www-authenticate" in headers) == (error.status == 401)


def test_retry_after_is_whole_and_never_zero() -> None:
    """Clients read whole seconds; 0 would be a storm."""
    assert headers_of(SAMPLES[0])["retry-after"] == "1"
    assert headers_of(SAMPLES[-1])["retry-after"] == "2"
    assert "retry-after" not in headers_of(errors.BadRequest("x"))


def test_a_bug_shows_nothing() -> None:
    """500 as a problem, without the exception's text or a trace."""

    async def broken(request: Request) -> Response:
        raise KeyError("secret of the inside")

    app = Starlette(routes=[Route("/", broken)], exception_handlers=HANDLERS)
    reply = TestClient(app, raise_server_exceptions=False).get("/")

    assert reply.status_code == 500
    assert reply.headers["content-type"] == "application/problem+json"
    assert "secret" not in reply.text
    assert "KeyError" not in reply.text


async def test_a_body_that_stops_is_refused_at_the_request_deadline() -> None:
    """On any ASGI server; on ours server.http counts the same time."""
    rig, sent = HandlerRig(request_deadline=0.05), list[Any]()
    parts = [{"type": "http.request", "body": b"{", "more_body": True}]
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/courses/c1/heartbeat", "headers": headers}

    async def receive() -> Any:
        return parts.pop() if parts else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(5):
        await Dispatch(cast(Any, SimpleNamespace(sample=0)), rig.handler)(scope, receive, send)

    assert sent[0]["status"] == 400
    assert b"in time" in sent[1]["body"]


async def test_a_bug_in_a_heartbeat_is_told_as_problem_json(caplog: pytest.LogCaptureFixture) -> None:
    """By the ASGI app as by the fast path: 500 without a word of the inside, and the connection closes."""
    rig, sent = HandlerRig(), list[Any]()
    rig.handler.admit = lambda *_: 1 / 0  # type: ignore[assignment, method-assign]
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/courses/c1/heartbeat", "headers": headers}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        sent.append(message)

    await Dispatch(cast(Any, SimpleNamespace(sample=0)), rig.handler)(scope, receive, send)

    fields = dict(sent[0]["headers"])
    assert sent[0]["status"] == 500
    assert fields[b"content-type"] == b"application/problem+json"
    assert fields[b"connection"] == b"close"
    assert orjson.loads(sent[1]["body"])["status"] == 500
    assert b"division" not in sent[1]["body"]
    assert "ZeroDivisionError" in caplog.text

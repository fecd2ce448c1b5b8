"""Server-sent events: a course's count, now and at every change, and for a catalogue of courses at once.

Bare ASGI: one small task per stream and one that waits for the client to go. A stream ends when the client
goes, when it takes no byte within the send deadline, after its lifetime, and with a goodbye at shutdown.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from ..errors import Limited
from ..live.frame import KEEP_ALIVE, WAITING, bye_frame
from ..live.hub import MAX_VIEWERS
from ..live.listener import Listener
from . import body
from .routes import course_ids, whole
from .service import Service

CATALOGUE = 100
KEEP_ALIVE_S = 15.0
FIRST_S = 0.15
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class CourseStream:
    """`GET /v1/courses/{course_id}/live?viewers=5`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        await _stream(request, (body.course_id(scope),), receive, send)


class CatalogueStream:
    """`GET /v1/live?course_id=a&course_id=b`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        courses = tuple(dict.fromkeys(course_ids(request, CATALOGUE)))
        await _stream(request, courses, receive, send)


async def _stream(request: Request, courses: tuple[str, ...], receive: Receive, send: Send) -> None:
    service: Service = request.app.state.service
    viewers = whole(request, "viewers", 0, 0, MAX_VIEWERS)
    hub = service.hub
    if len(hub.listeners) >= service.settings.streams_limit:
        raise Limited("too many streams are open here", retry_after_s=5)
    listener = hub.attach(courses, viewers)
    service.metrics.streams.inc()
    gone = asyncio.get_running_loop().create_task(_until_gone(receive, listener))
    try:
        await _write(service, listener, gone, send)
    except (OSError, TimeoutError):
        pass  # the client is gone, or took nothing within the deadline
    finally:
        gone.cancel()
        hub.detach(listener)
        service.metrics.streams.dec()


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.close()


async def _write(service: Service, listener: Listener, gone: asyncio.Task[None], send: Send) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = service.settings.send_deadline
    lifetime = service.settings.stream_lifetime * random.uniform(0.9, 1.1)
    ends_at = loop.time() + lifetime
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    block = await listener.wait(FIRST_S) or WAITING
    while not gone.done():
        await _send(send, block, deadline_s)
        if listener.closing or loop.time() > ends_at:
            await _send(send, bye_frame(), deadline_s)
            break
        block = await listener.wait(KEEP_ALIVE_S) or KEEP_ALIVE
    with contextlib.suppress(OSError):
        await send({"type": "http.response.body", "body": b""})


async def _send(send: Send, block: bytes, deadline_s: float) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": block, "more_body": True}
    async with asyncio.timeout(deadline_s):
        await send(message)

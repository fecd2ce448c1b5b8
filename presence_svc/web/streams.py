"""Server-sent events: a course's count, now and at every change, and for a catalogue of courses at once.

Bare ASGI: one small task per stream and one that waits for the client to go. A stream ends when the client
goes, when it takes no byte within the send deadline, after its lifetime, with `reauth` when its token
expires, and with a goodbye at shutdown.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from ..errors import Limited
from ..live.frame import KEEP_ALIVE, WAITING, bye_frame
from ..live.hub import MAX_VIEWERS
from ..live.listener import Listener
from . import body
from .auth.caller import Caller, Role
from .auth.roles import Action
from .protocol import STRAIGHT
from .routes import course_ids, credentials, enter, whole
from .service import Service

CATALOGUE = 100
KEEP_ALIVE_S = 15.0
FIRST_S = 0.15
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
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
    caller = await enter(request, Action.VIEWERS if viewers else Action.COUNT, *courses)
    hub = service.hub
    if len(hub.listeners) >= service.settings.streams_limit:
        raise Limited("too many streams are open here", retry_after_s=5)
    close = _counted(service, caller, request)
    listener = hub.attach(courses, viewers)
    service.metrics.streams.inc()
    gone = asyncio.get_running_loop().create_task(_until_gone(receive, listener))
    try:
        straight = request.scope.get("extensions", {}).get(STRAIGHT, {}).get("write")
        await _write(service, caller, listener, gone, send, straight)
    except (OSError, TimeoutError):
        pass  # the client is gone, or took nothing within the deadline
    finally:
        gone.cancel()
        hub.detach(listener)
        service.metrics.streams.dec()
        close()


def _counted(service: Service, caller: Caller, request: Request) -> Callable[[], None]:
    """Takes a place among the caller's streams; call the result to give it back. Raises Limited."""
    if caller.role is Role.SERVICE:
        return lambda: None
    _, address = credentials(request.scope)
    return service.limits.open_stream(caller.subject, address)


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.close()


async def _write(
    service: Service,
    caller: Caller,
    listener: Listener,
    gone: asyncio.Task[None],
    send: Send,
    straight: Callable[[bytes], bool] | None,
) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = service.settings.send_deadline
    ends_at = loop.time() + service.settings.stream_lifetime * random.uniform(0.9, 1.1)
    expires_at = loop.time() + caller.expires_at - time.time()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    block = await listener.wait(FIRST_S) or WAITING
    while not gone.done():
        await _send(send, block, deadline_s)
        listener.straight = straight
        now = loop.time()
        if listener.closing or now >= min(ends_at, expires_at):
            await _send(send, _farewell(is_expired=now >= expires_at), deadline_s)
            break
        block = await listener.wait(min(KEEP_ALIVE_S, ends_at - now, expires_at - now)) or KEEP_ALIVE
    with contextlib.suppress(OSError):
        await send({"type": "http.response.body", "body": b""})


def _farewell(*, is_expired: bool) -> bytes:
    """`reauth` asks for a new token before the next try; `bye` for nothing but a pause."""
    return bye_frame().replace(b"event: bye", b"event: reauth", 1) if is_expired else bye_frame()


async def _send(send: Send, block: bytes, deadline_s: float) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": block, "more_body": True}
    async with asyncio.timeout(deadline_s):
        await send(message)

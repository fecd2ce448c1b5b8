"""Server-sent events: the count of a course, or of a catalogue of courses, now and at every change.

Bare ASGI. On our own server (server.http) the connection itself writes the stream once its head is sent; on
others a task does. A stream ends when the client disconnects or takes no byte within the send deadline, after
its lifetime, with `reauth` when its token expires, and with `bye` at shutdown.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from ...auth.caller import Caller, Role
from ...auth.roles import Action
from ...errors import Limited, PresenceError
from ...live.frame import WAITING, Frame, refused_frame
from ...live.listener import Listener
from .. import body
from ..problems import problem
from ..query import Whole
from ..request import check_origin, credentials, enter
from ..selection import Wanted, of_query, of_stream
from ..services import Services
from .stream import ADOPT, KEEP_ALIVE_S, Stream

PEOPLE = Whole("people", 0, 1, default=0)
PING = Whole("ping", 5, KEEP_ALIVE_S, default=KEEP_ALIVE_S)
FIRST_S = 0.15
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
# A stream that its connection writes ends with it, so that the client cannot reuse the connection.
LAST = (b"connection", b"close")


class CourseStream:
    """`GET /v1/courses/{course_id}/live?viewers=5&chapters=none&ping=7`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        await _stream(request, of_query(request, (body.course_id(scope),)), receive, send)


class CatalogueStream:
    """`GET /v1/live?course_id=a&course_id=b&people=1`, or POST with the courses in a body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method == "POST":
            check_origin(request)
        people = bool(PEOPLE.read(request))
        if people:  # allowed for callers who may see the totals of all courses
            await enter(request, Action.STATS)
        await _stream(request, await of_stream(request), receive, send, people=people)


class _Allowed(NamedTuple):
    """What a stream may show: which courses, which of them without names, and frames about the rest."""

    caller: Caller
    courses: tuple[str, ...]
    nameless: frozenset[str]
    refused: list[Frame]


async def _allowed(request: Request, wanted: Wanted) -> _Allowed:
    """Judges each course by itself. If all are refused, raises the first one's error."""
    service: Services = request.app.state.service
    caller = await service.admission.identify(*credentials(request.scope))
    refusal = service.admission.permissions.refusal
    courses, nameless, refused = [], set(), []
    errors: list[PresenceError] = []
    for course_id in wanted.courses:
        error = refusal(caller, Action.VIEWERS if wanted.viewers else Action.COUNT, course_id)
        if error is not None and wanted.viewers and refusal(caller, Action.COUNT, course_id) is None:
            nameless.add(course_id)
            refused.append(refused_frame(course_id, "viewers", problem(error)))
        elif error is not None:
            refused.append(refused_frame(course_id, "count", problem(error)))
        if error is None or course_id in nameless:
            courses.append(course_id)
        if error is not None:
            errors.append(error)
    if len(errors) == len(wanted.courses):
        raise errors[0]
    return _Allowed(caller, tuple(courses), frozenset(nameless), refused)


async def _stream(
    request: Request, wanted: Wanted, receive: Receive, send: Send, *, people: bool = False
) -> None:
    service: Services = request.app.state.service
    ping_s = PING.read(request)
    caller, courses, nameless, refused = await _allowed(request, wanted)
    service.capacity.take()
    try:
        give_back = _counted(service, caller, request)
    except Limited:
        service.capacity.give_back()
        raise
    listener = service.hub.attach(
        courses,
        wanted.viewers,
        chapters=wanted.chapters,
        is_steady=wanted.is_steady,
        nameless=nameless,
        people=people,
    )
    stream = Stream(service, caller, listener, give_back, ping_s)
    is_adopted = False
    try:
        adopt = request.scope.get("extensions", {}).get(ADOPT, {}).get("adopt")
        headers = [*HEADERS, LAST] if adopt else HEADERS
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if request.method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        first = await stream.listener.wait(FIRST_S) or WAITING
        await _send(send, b"".join(frame.text for frame in refused) + first, stream.deadline_s)
        is_adopted = adopt is not None and adopt(stream)
        if not is_adopted:
            await _write(stream, receive, send)
    except (OSError, TimeoutError):
        pass  # the client has disconnected, or took nothing within the deadline
    finally:
        if not is_adopted:
            stream.end()


def _counted(service: Services, caller: Caller, request: Request) -> Callable[[], None]:
    """Counts the stream as the caller's; call the result when it ends. Raises Limited."""
    if caller.role is Role.SERVICE:
        return lambda: None
    _, address = credentials(request.scope)
    return service.rates.open_stream(caller.subject, address)


async def _write(stream: Stream, receive: Receive, send: Send) -> None:
    """Writes the stream by plain ASGI, on any server."""
    loop, listener = asyncio.get_running_loop(), stream.listener
    gone = loop.create_task(_until_gone(receive, listener))
    try:
        while not gone.done():
            words = stream.last_words(loop.time())
            if words:
                await _send(send, words, stream.deadline_s)
                break
            block = await listener.wait(stream.pause_s(loop.time()))
            if block or not stream.last_words(loop.time()):
                await _send(send, block or stream.keep_alive, stream.deadline_s)
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.close()


async def _send(send: Send, block: bytes, deadline_s: float) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": block, "more_body": True}
    async with asyncio.timeout(deadline_s):
        await send(message)

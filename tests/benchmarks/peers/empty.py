"""An ASGI app that does nothing: the yardstick of rows 1 and 3. As long an answer as a heartbeat's."""

from __future__ import annotations

from typing import Any

BODY = b'{"course_id":"course-1","ok":true}'.ljust(240)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})

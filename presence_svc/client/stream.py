"""A course's changes from a running service's stream, for `presence-svc watch` without a Redis URL.

Raises Unavailable if the first attempt gets no answer, and another PresenceError if the service refuses.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator

import httpx2

from ..errors import PresenceError, Unavailable
from ..model import Count, Problem
from .call import course_path

SILENCE_S = 40.0  # a stream sends at least a comment every 15 s
CONNECT_S = 5.0
PAUSE_S = (0.5, 5.0)
OTHER = "this is not a presence service"


async def stream(url: str, course_id: str, api_key: str = "") -> AsyncGenerator[Count, None]:
    """Yields the current Count, then one for each change. A stream that ends is opened again and again."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    path = f"{course_path(course_id)}/live"
    is_known = False
    timeout = httpx2.Timeout(CONNECT_S, read=SILENCE_S)
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout) as client:
        while True:
            try:
                async with client.stream("GET", path) as reply:
                    await _check(reply)
                    async for count in _counts(reply):
                        is_known = True
                        yield count
            except ValueError:
                raise PresenceError(OTHER) from None
            except (httpx2.HTTPError, Unavailable) as error:
                if not is_known:
                    raise Unavailable(str(error) or type(error).__name__) from error
            await asyncio.sleep(random.uniform(*PAUSE_S))


async def _check(reply: httpx2.Response) -> None:
    """Raises the service's error, or one that says that this is not a presence service."""
    if reply.is_success and reply.headers.get("content-type", "").startswith("text/event-stream"):
        return
    content = await reply.aread()
    if reply.status_code >= Unavailable.status:
        raise Unavailable(f"HTTP {reply.status_code}")
    try:
        raise PresenceError(Problem.model_validate_json(content).detail)
    except ValueError:
        raise PresenceError(OTHER) from None


async def _counts(reply: httpx2.Response) -> AsyncIterator[Count]:
    event = ""
    async for line in reply.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            event = value
        elif field == "data" and event == "count":
            yield Count.model_validate_json(value)

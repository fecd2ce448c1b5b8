"""Titles of courses and chapters, from a JSON file or URL of the operator's. For web.api.titles.

`{"id": "Title", "id2": {"title": "Title", "chapters": {"id": "Title"}}}`. Read on first use, then refreshed
in the background. If that fails, the last titles stay; without any, pages show ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from time import monotonic

import httpx2
import orjson
from pydantic import BaseModel

from ...model import ID_PATTERN

log = logging.getLogger("presence.titles")
FRESH_S = 60.0
RETRY_S = 10.0
TIMEOUT_S = 5.0
SIZE_LIMIT = 8_388_608
COURSES_LIMIT = 50_000
LONGEST = 200  # characters of a title
ID = re.compile(rf"(?:{ID_PATTERN})\Z")


class Title(BaseModel):
    """The title of a course, and of those of its chapters that have one."""

    title: str
    chapters: dict[str, str] = {}


class Titles:
    """`source`: a URL or a path; "" = no titles. `clock` is monotonic, in seconds."""

    def __init__(self, source: str, clock: Callable[[], float] = monotonic) -> None:
        self._source = source
        self._clock = clock
        self._titles: dict[str, Title] = {}
        self._trouble = ""
        self._due_at = -math.inf if source else math.inf
        self._is_read = not source
        self._flight: asyncio.Task[None] | None = None

    async def of(self, courses: Iterable[str]) -> dict[str, Title]:
        """The titles of these courses. Waits for the first read, 5 s at most; never raises."""
        await self._ready()
        return {course: self._titles[course] for course in courses if course in self._titles}

    async def search(self, text: str, limit: int) -> dict[str, Title]:
        """The first `limit` courses whose title contains the text, ignoring case."""
        await self._ready()
        wanted = text.casefold()
        found = ((course, one) for course, one in self._titles.items() if wanted in one.title.casefold())
        return dict(islice(found, limit))

    async def close(self) -> None:
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _ready(self) -> None:
        if self._flight is None and self._clock() >= self._due_at:
            self._flight = asyncio.get_running_loop().create_task(self._run())
        if not self._is_read and self._flight is not None:
            await asyncio.shield(self._flight)

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                raw = await self._raw()
                self._titles = await asyncio.to_thread(parse, raw)
        except Exception as error:  # whatever the URL returns, the next attempt must happen
            self._failed(str(error)[:200] or type(error).__name__)
        else:
            self._trouble, self._due_at = "", self._clock() + FRESH_S
        finally:
            self._is_read, self._flight = True, None

    def _failed(self, trouble: str) -> None:
        """Logs each problem once, because pages ask every few seconds."""
        if trouble != self._trouble:
            log.warning("titles cannot be read: %s", trouble)
        self._trouble, self._due_at = trouble, self._clock() + RETRY_S

    async def _raw(self) -> bytes:
        if not self._source.startswith(("http://", "https://")):
            return await asyncio.to_thread(_from_file, Path(self._source))
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx2.AsyncClient(timeout=TIMEOUT_S))
            response = await stack.enter_async_context(client.stream("GET", self._source))
            if response.status_code != 200:
                raise ValueError(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > SIZE_LIMIT:
                    raise ValueError("too large")
            return bytes(body)


def _from_file(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(SIZE_LIMIT + 1)
    if len(raw) > SIZE_LIMIT:
        raise ValueError("too large")
    return raw


def parse(raw: bytes) -> dict[str, Title]:
    """Parses titles, and logs which cannot be used. Raises ValueError if it is not an object."""
    given = orjson.loads(raw)
    if not isinstance(given, dict):
        raise ValueError('must be an object: {"course id": "title"}')
    found: dict[str, Title] = {}
    for course, value in islice(given.items(), COURSES_LIMIT):
        title = _title(value)
        if title is not None and ID.match(course):
            found[course] = title
    if len(found) < len(given):
        wrong = next((course for course in given if course not in found), "")
        log.warning("%d courses have no usable title, such as %r", len(given) - len(found), wrong[:80])
    return found


def _title(value: object) -> Title | None:
    given = {"title": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or not isinstance(given.get("title"), str) or not given["title"].strip():
        return None
    chapters = given.get("chapters")
    named = chapters.items() if isinstance(chapters, dict) else ()
    texts = {chapter: text.strip()[:LONGEST] for chapter, text in named if isinstance(text, str)}
    return Title(title=given["title"].strip()[:LONGEST], chapters={k: v for k, v in texts.items() if v})

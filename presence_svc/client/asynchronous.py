"""The same calls for programs on an event loop: FastAPI, Starlette, aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from inspect import isawaitable
from typing import Self, TypeVar, Unpack

import httpx2

from ..model import Count, CourseHeartbeat, HeartbeatReply, Problem, Roster, Stats, Viewer
from ..store.history.model import Calendar, ExportedRow, ExportPage, Heatmap, History, Step
from . import call as calls
from .attempt import Attempts, Policy, checked_url, request_of, result_of, timeouts
from .call import Call, HeartbeatFields, LeaveFields, Moment
from .connections import LoopConnections
from .failure import ProblemError, Unreachable

T = TypeVar("T")


class AsyncPresenceClient:
    """PresenceClient for asyncio, on any number of event loops; `token` may also be an async function.

    async with AsyncPresenceClient("http://127.0.0.1:8000", api_key="...") as presence:
        await presence.heartbeat("python-101", viewer_id="u1", chapter_id="ch-1")
        print((await presence.count("python-101")).total)
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        token: str | Callable[[], str | Awaitable[str]] = "",
        deadline_s: float = 5.0,
        retries: int = 2,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        if api_key and token:
            raise ValueError("give api_key or token, not both")
        self._base_url = checked_url(base_url)
        self._token = token or api_key
        self._policy = Policy(deadline_s, retries)
        self._connections = LoopConnections(transport)

    async def heartbeat(self, course_id: str, **fields: Unpack[HeartbeatFields]) -> HeartbeatReply:
        """Records a heartbeat: the session is present."""
        return await self._make(calls.heartbeat(course_id, fields))

    async def heartbeats(self, batch: Iterable[CourseHeartbeat]) -> list[HeartbeatReply | Problem]:
        """Records heartbeats of any courses; a reply or a problem for each, in order. Needs an API key."""
        parts = calls.parts(batch, calls.HEARTBEATS_AT_ONCE)
        results = [await self._make(calls.heartbeats(part)) for part in parts]
        return [result for part in results for result in part]

    async def leave(self, course_id: str, **fields: Unpack[LeaveFields]) -> None:
        """Ends a session."""
        await self._make(calls.leave(course_id, fields))

    async def count(self, course_id: str) -> Count:
        """The number of viewers now, in total and by chapter."""
        return await self._make(calls.count(course_id))

    async def counts(self, course_ids: Iterable[str]) -> list[Count]:
        """The counts of many courses, in the order asked."""
        parts = calls.parts(course_ids, calls.COURSES_AT_ONCE)
        found = [await self._make(calls.counts(part)) for part in parts]
        return [count for part in found for count in part]

    async def viewers(
        self, course_id: str, *, limit: int = 20, cursor: str | None = None, chapter_id: str | None = None
    ) -> Roster:
        """One page of the named viewers, the most recently heard from first; `limit` is at most 100."""
        return await self._make(calls.viewers(course_id, limit, cursor, chapter_id))

    async def all_viewers(self, course_id: str, *, chapter_id: str | None = None) -> AsyncIterator[Viewer]:
        """All named viewers who stay until the end, each once; makes a call per hundred."""
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self.viewers(course_id, limit=100, cursor=cursor, chapter_id=chapter_id)
            for viewer in page.viewers:
                if viewer.viewer_id not in seen:
                    seen.add(viewer.viewer_id)
                    yield viewer
            if not (cursor := page.next_cursor):
                return

    async def evict(self, course_id: str, viewer_id: str, *, ban_s: int | None = None) -> None:
        """Removes a viewer with all sessions, and bans them for `ban_s` seconds (by default one lease)."""
        await self._make(calls.evict(course_id, viewer_id, ban_s))

    async def history(
        self,
        course_id: str,
        *,
        step: Step = "15m",
        begin: Moment | None = None,
        end: Moment | None = None,
        chapter_id: str | None = None,
        tz: str = "UTC",
    ) -> History:
        """Peak, average and viewer minutes by step. Moments are datetimes with a zone, or ms since 1970."""
        return await self._make(calls.history(course_id, step, begin, end, chapter_id, tz))

    async def calendar(self, course_id: str, *, weeks: int = 4, tz: str = "UTC") -> Calendar:
        """Average and peak by weekday and hour."""
        return await self._make(calls.calendar(course_id, weeks, tz))

    async def heatmap(
        self,
        course_id: str,
        *,
        begin: Moment | None = None,
        end: Moment | None = None,
        limit: int = 50,
        tz: str = "UTC",
    ) -> Heatmap:
        """The busiest chapters, at most `limit`, by quarters of an hour."""
        return await self._make(calls.heatmap(course_id, begin, end, limit, tz))

    async def export(self, *, cursor: str | None = None, limit: int = 1_000) -> ExportPage:
        """Closed quarters of all courses in the order of closing, and the next cursor. Needs an API key."""
        return await self._make(calls.export(cursor, limit))

    async def all_exported(self, *, cursor: str | None = None) -> AsyncIterator[ExportedRow]:
        """All rows after `cursor`, each at least once. Store `row.cursor` with the row, to continue there."""
        while (page := await self.export(cursor=cursor)).rows:
            for row in calls.exported(page, cursor):
                yield row
            cursor = page.cursor

    async def stats(
        self, *, search: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Stats:
        """Totals over all courses, and a page of courses if `search` or `limit` is given."""
        return await self._make(calls.stats(search, limit, cursor))

    async def close(self) -> None:
        """Closes the connections. Later calls raise RuntimeError."""
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r})"

    async def _make(self, call: Call[T]) -> T:
        attempts = Attempts(self._policy)
        while True:
            try:
                async with asyncio.timeout(attempts.remaining_s):
                    return result_of(call, *await self._answer(call, attempts))
            except ProblemError as error:
                await asyncio.sleep(attempts.pause_s(error))
            except TimeoutError as error:
                raise Unreachable(f"{self._base_url}: the deadline has passed") from error

    async def _answer(self, call: Call[T], attempts: Attempts) -> tuple[httpx2.Response, bytes]:
        token = self._token() if callable(self._token) else self._token
        if isawaitable(token):
            token = await token
        request = request_of(call, self._base_url, token, attempts.remaining_s)
        try:
            reply = await self._sent(request, attempts)
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self._base_url}: {str(error) or type(error).__name__}") from error
        return reply, reply.content

    async def _sent(self, request: httpx2.Request, attempts: Attempts) -> httpx2.Response:
        try:
            return await self._connections.get().send(request)
        except httpx2.HTTPError as error:
            if not attempts.may_repeat(error):
                raise
        request.extensions.update(timeouts(attempts.remaining_s))
        return await self._connections.get().send(request)

"""The client for programs without an event loop: Django views, Celery tasks, management commands, scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeVar, Unpack

import httpx2

from ..model import Count, CourseHeartbeat, HeartbeatReply, Problem, Roster, Stats, Viewer
from ..store.history.model import Calendar, ExportedRow, ExportPage, Heatmap, History, Step
from . import call as calls
from .attempt import Attempts, Policy, checked_url, request_of, result_of, timeouts
from .call import Call, HeartbeatFields, LeaveFields, Moment
from .connections import Connections
from .failure import ProblemError, Unreachable

T = TypeVar("T")


class PresenceClient:
    """Calls the service at `base_url`, as a service with `api_key` or as a viewer with `token`.

        with PresenceClient("http://127.0.0.1:8000", api_key="...") as presence:
            presence.heartbeat("python-101", viewer_id="u1", chapter_id="ch-1")
            print(presence.count("python-101").total)

    `token` may be a function that returns a fresh token for each call. A call takes at most `deadline_s`
    seconds, including retries. It is retried, at most `retries` times, after a 503 with Retry-After; it
    is also sent once more, immediately, if its connection ends without an answer. Many threads may share
    a client; in a forked process it opens its own connections.
    Every call raises ProblemError if the service refuses it, Unreachable if there is no answer (both are
    ClientError), and ValueError for an invalid id or field.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        token: str | Callable[[], str] = "",
        deadline_s: float = 5.0,
        retries: int = 2,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if api_key and token:
            raise ValueError("give api_key or token, not both")
        self._base_url = checked_url(base_url)
        self._token = token or api_key
        self._policy = Policy(deadline_s, retries)
        self._connections = Connections(transport)

    def heartbeat(self, course_id: str, **fields: Unpack[HeartbeatFields]) -> HeartbeatReply:
        """Records a heartbeat: the session is present."""
        return self._make(calls.heartbeat(course_id, fields))

    def heartbeats(self, batch: Iterable[CourseHeartbeat]) -> list[HeartbeatReply | Problem]:
        """Records heartbeats of any courses; a reply or a problem for each, in order. Needs an API key."""
        parts = calls.parts(batch, calls.HEARTBEATS_AT_ONCE)
        return [result for part in parts for result in self._make(calls.heartbeats(part))]

    def leave(self, course_id: str, **fields: Unpack[LeaveFields]) -> None:
        """Ends a session."""
        self._make(calls.leave(course_id, fields))

    def count(self, course_id: str) -> Count:
        """The number of viewers now, in total and by chapter."""
        return self._make(calls.count(course_id))

    def counts(self, course_ids: Iterable[str]) -> list[Count]:
        """The counts of many courses, in the order asked."""
        parts = calls.parts(course_ids, calls.COURSES_AT_ONCE)
        return [count for part in parts for count in self._make(calls.counts(part))]

    def viewers(
        self, course_id: str, *, limit: int = 20, cursor: str | None = None, chapter_id: str | None = None
    ) -> Roster:
        """One page of the named viewers, the most recently heard from first; `limit` is at most 100."""
        return self._make(calls.viewers(course_id, limit, cursor, chapter_id))

    def all_viewers(self, course_id: str, *, chapter_id: str | None = None) -> Iterator[Viewer]:
        """All named viewers who stay until the end, each once; makes a call per hundred."""
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = self.viewers(course_id, limit=100, cursor=cursor, chapter_id=chapter_id)
            for viewer in page.viewers:
                if viewer.viewer_id not in seen:
                    seen.add(viewer.viewer_id)
                    yield viewer
            if not (cursor := page.next_cursor):
                return

    def evict(self, course_id: str, viewer_id: str, *, ban_s: int | None = None) -> None:
        """Removes a viewer with all sessions, and bans them for `ban_s` seconds (by default one lease)."""
        self._make(calls.evict(course_id, viewer_id, ban_s))

    def history(
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
        return self._make(calls.history(course_id, step, begin, end, chapter_id, tz))

    def calendar(self, course_id: str, *, weeks: int = 4, tz: str = "UTC") -> Calendar:
        """Average and peak by weekday and hour."""
        return self._make(calls.calendar(course_id, weeks, tz))

    def heatmap(
        self,
        course_id: str,
        *,
        begin: Moment | None = None,
        end: Moment | None = None,
        limit: int = 50,
        tz: str = "UTC",
    ) -> Heatmap:
        """The busiest chapters, at most `limit`, by quarters of an hour."""
        return self._make(calls.heatmap(course_id, begin, end, limit, tz))

    def export(self, *, cursor: str | None = None, limit: int = 1_000) -> ExportPage:
        """Closed quarters of all courses in the order of closing, and the next cursor. Needs an API key."""
        return self._make(calls.export(cursor, limit))

    def all_exported(self, *, cursor: str | None = None) -> Iterator[ExportedRow]:
        """All rows after `cursor`, each at least once. Store `row.cursor` with the row, to continue there."""
        while (page := self.export(cursor=cursor)).rows:
            yield from calls.exported(page, cursor)
            cursor = page.cursor

    def stats(
        self, *, search: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Stats:
        """Totals over all courses, and a page of courses if `search` or `limit` is given."""
        return self._make(calls.stats(search, limit, cursor))

    def close(self) -> None:
        """Closes the connections. Later calls raise RuntimeError."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r})"

    def _make(self, call: Call[T]) -> T:
        attempts = Attempts(self._policy)
        while True:
            try:
                return result_of(call, *self._answer(call, attempts))
            except ProblemError as error:
                time.sleep(attempts.pause_s(error))

    def _answer(self, call: Call[T], attempts: Attempts) -> tuple[httpx2.Response, bytes]:
        token = self._token() if callable(self._token) else self._token
        request = request_of(call, self._base_url, token, attempts.remaining_s)
        try:
            reply = self._sent(request, attempts)
            try:
                return reply, b"".join(self._body(reply, attempts))
            finally:
                reply.close()
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self._base_url}: {str(error) or type(error).__name__}") from error

    def _sent(self, request: httpx2.Request, attempts: Attempts) -> httpx2.Response:
        try:
            return self._connections.get().send(request, stream=True)
        except httpx2.HTTPError as error:
            if not attempts.may_repeat(error):
                raise
        request.extensions.update(timeouts(attempts.remaining_s))
        return self._connections.get().send(request, stream=True)

    def _body(self, reply: httpx2.Response, attempts: Attempts) -> Iterator[bytes]:
        """Reads the body, and gives up at the deadline if it arrives too slowly."""
        for chunk in reply.iter_bytes():
            attempts.check()
            yield chunk

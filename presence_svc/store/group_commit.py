"""Group commit: operations that are submitted while an exchange with Redis is under way share the next one.

Used for heartbeats and leaves (store.presence) and for reads. Latency when idle is one round trip; under
load groups grow by themselves. Bounded: beyond `limit` waiting operations it raises Unavailable, and when
an exchange fails, all that wait fail with it instead of waiting for another deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from ..errors import PresenceError, Unavailable

log = logging.getLogger("presence.group_commit")
Op = TypeVar("Op")
Result = TypeVar("Result")
Done = Callable[[Result | PresenceError], None]
MAX_GROUP = 500
LATE = "this request has waited for too long, and its sender may be gone"
FULL = "too many requests are waiting for Redis"


class GroupCommit(Generic[Op, Result]):
    """`commit` takes a group in order of arrival and returns, for each, a result or an error to raise."""

    def __init__(
        self,
        commit: Callable[[list[Op]], Awaitable[list[Result | PresenceError]]],
        *,
        limit: int,
        max_group: int = MAX_GROUP,
        on_group: Callable[[int], None] | None = None,
        is_late: Callable[[], bool] = lambda: False,
    ) -> None:
        self._commit = commit
        self._limit = limit
        self._max_group = max_group
        self._on_group = on_group
        self._is_late = is_late
        self._waiting: list[tuple[Op, Done[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether anything waits or is under way."""
        return self._task is not None

    def submit(self, op: Op) -> asyncio.Future[Result]:
        """A future for the result. Raises Unavailable when the queue is full."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.post(op, partial(_settle, future))
        return future

    def post(self, op: Op, done: Done[Result]) -> None:
        """Calls `done` with the result or the error later. Raises Unavailable when the queue is full."""
        if len(self._waiting) >= self._limit:
            raise Unavailable(FULL)
        self._waiting.append((op, done))
        self._start()

    def submit_many(self, ops: Sequence[Op]) -> asyncio.Future[list[Result | PresenceError]]:
        """A future for all results, in order. Errors are values: Unavailable for those beyond the limit."""
        future: asyncio.Future[list[Result | PresenceError]] = asyncio.get_running_loop().create_future()
        taken = ops[: max(0, self._limit - len(self._waiting))]
        refused: list[Result | PresenceError] = [Unavailable(FULL) for _ in ops[len(taken) :]]
        if not taken:
            future.set_result(refused)
            return future
        results: list[Result | PresenceError] = []

        def last(result: Result | PresenceError) -> None:
            results.append(result)
            if not future.done():
                future.set_result(results + refused)

        # Results come in the order of submission, so that only the last one has to wake the caller.
        self._waiting += zip(taken, [*[results.append] * (len(taken) - 1), last], strict=True)
        self._start()
        return future

    def _start(self) -> None:
        if self._task is None:
            # The task starts in the loop's next iteration: all that arrives in this one shares a group.
            self._task = asyncio.get_running_loop().create_task(self._drain())

    async def close(self) -> None:
        """Waits for everything under way, at most until the deadline of its exchange."""
        while self._task is not None:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._task)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = (
                    self._waiting[: self._max_group],
                    self._waiting[self._max_group :],
                )
                await self._run(group)
        finally:
            self._task = None

    async def _run(self, group: list[tuple[Op, Done[Result]]]) -> None:
        if self._on_group:
            self._on_group(len(group))
        results: Sequence[Result | PresenceError]
        try:
            if self._is_late():
                raise Unavailable(LATE)
            results = await self._commit([op for op, _ in group])
        except PresenceError as error:
            group, self._waiting = group + self._waiting, []
            results = [error] * len(group)
        except Exception:
            log.exception("a group failed")
            results = [Unavailable("the request failed")] * len(group)
        for (_, done), result in zip(group, results, strict=True):
            try:
                done(result)
            except Exception:
                log.exception("a result could not be delivered")


def _settle(future: asyncio.Future[Result], result: Result | PresenceError) -> None:
    """Resolves the future, unless its caller has given up meanwhile."""
    if future.done():
        return
    if isinstance(result, PresenceError):
        future.set_exception(result)
    else:
        future.set_result(result)

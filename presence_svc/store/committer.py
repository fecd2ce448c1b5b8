"""Group commit: what is submitted while an exchange with Redis is under way shares the next one.

Used for heartbeats and leaves (store.presence) and for reads. Latency when idle is one round trip; under
load batches grow by themselves. Bounded: beyond `limit` waiting submissions it refuses with Unavailable,
and when an exchange fails, those who waited for it fail with it rather than wait for a second deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ..errors import PresenceError, Unavailable

log = logging.getLogger("presence.committer")
Op = TypeVar("Op")
Result = TypeVar("Result")
MAX_BATCH = 500


class Committer(Generic[Op, Result]):
    """`commit` takes a batch in order of arrival and returns a result, or an error to raise, for each."""

    def __init__(
        self,
        commit: Callable[[list[Op]], Awaitable[list[Result | PresenceError]]],
        *,
        limit: int,
        max_batch: int = MAX_BATCH,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self._commit = commit
        self._limit = limit
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._waiting: list[tuple[Op, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, op: Op) -> asyncio.Future[Result]:
        """A future for the result. Raises Unavailable when the queue is full."""
        if len(self._waiting) >= self._limit:
            raise Unavailable("too many requests are waiting for Redis")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((op, future))
        if self._task is None:
            # A task starts at the loop's next turn: what has arrived in this turn shares its batch.
            self._task = loop.create_task(self._drain())
        return future

    async def close(self) -> None:
        """Waits for what is under way; the deadline of an exchange bounds it."""
        while self._task is not None:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._task)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = (
                    self._waiting[: self._max_batch],
                    self._waiting[self._max_batch :],
                )
                await self._run(batch)
        finally:
            self._task = None

    async def _run(self, batch: list[tuple[Op, asyncio.Future[Result]]]) -> None:
        if self._on_batch:
            self._on_batch(len(batch))
        try:
            results = await self._commit([op for op, _ in batch])
        except PresenceError as error:
            batch, self._waiting = batch + self._waiting, []
            _fail(batch, error)
        except Exception:
            log.exception("a batch failed")
            _fail(batch, Unavailable("this could not be recorded"))
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, PresenceError):
                    future.set_exception(result)
                else:
                    future.set_result(result)


def _fail(batch: list[tuple[Op, asyncio.Future[Result]]], error: PresenceError) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)

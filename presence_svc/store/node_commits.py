"""One group commit per master, so that a slow master delays its own courses and no others.

Used by store.presence on a Cluster instead of the single group commit. After slots have moved, new queues
wait until the former ones are empty: otherwise two operations of a course could be sent in the wrong order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from ..errors import PresenceError
from .group_commit import Done, GroupCommit
from .redis.link import Link

Op = TypeVar("Op")
Result = TypeVar("Result")
Commit = Callable[[list[Op]], Awaitable[list[Result | PresenceError]]]


class NodeCommits(Generic[Op, Result]):
    """As GroupCommit, with a queue per node. `node_of` may answer differently once `link.version` changes."""

    def __init__(
        self,
        commit: Commit[Op, Result],
        make: Callable[[Commit[Op, Result]], GroupCommit[Op, Result]],
        node_of: Callable[[Op], Hashable],
        link: Link,
    ) -> None:
        self._commit = commit
        self._make_queue = make
        self._node_of = node_of
        self._link = link
        self._queues: dict[Hashable, GroupCommit[Op, Result]] = {}
        self._former: list[GroupCommit[Op, Result]] = []
        self._made_for = link.version

    def __len__(self) -> int:
        return sum(map(len, [*self._queues.values(), *self._former]))

    def submit(self, op: Op) -> asyncio.Future[Result]:
        """A future for the result. Raises Unavailable when the queue is full."""
        return self._queue(self._node_of(op)).submit(op)

    def post(self, op: Op, done: Done[Result]) -> None:
        """Calls `done` with the result or the error. Raises Unavailable when the queue is full."""
        self._queue(self._node_of(op)).post(op, done)

    def submit_many(self, ops: Sequence[Op]) -> asyncio.Future[list[Result | PresenceError]]:
        """A future for all results, in order. Errors are values."""
        parts: dict[Hashable, list[int]] = {}
        for index, op in enumerate(ops):
            parts.setdefault(self._node_of(op), []).append(index)
        if len(parts) == 1:
            return self._queue(next(iter(parts))).submit_many(ops)
        asked = [
            self._queue(queue).submit_many([ops[index] for index in indices])
            for queue, indices in parts.items()
        ]
        return asyncio.ensure_future(_in_order(asked, list(parts.values())))

    async def close(self) -> None:
        """Waits for everything under way, at most until the deadlines of its exchanges."""
        for queue in [*self._former, *self._queues.values()]:
            await queue.close()

    def _queue(self, name: Hashable) -> GroupCommit[Op, Result]:
        if self._link.version != self._made_for:
            self._made_for = self._link.version
            self._former = [queue for queue in [*self._former, *self._queues.values()] if queue.is_busy]
            self._queues = {}
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = self._make(list(self._former))
        return queue

    def _make(self, former: list[GroupCommit[Op, Result]]) -> GroupCommit[Op, Result]:
        async def commit(ops: list[Op]) -> list[Result | PresenceError]:
            while former:
                await former[-1].close()
                former.pop()
            return await self._commit(ops)

        return self._make_queue(commit)


async def _in_order(
    asked: list[asyncio.Future[list[Result | PresenceError]]], parts: list[list[int]]
) -> list[Result | PresenceError]:
    found: dict[int, Result | PresenceError] = {}
    for indices, results in zip(parts, await asyncio.gather(*asked), strict=True):
        found.update(zip(indices, results, strict=True))
    return [found[index] for index in sorted(found)]

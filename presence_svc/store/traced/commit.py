"""A group commit that knows which requests share an exchange, so that its span can link to all of them.

Used by store.presence in place of GroupCommit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic

from ... import tracing
from ...errors import PresenceError
from ..group_commit import Done, GroupCommit, Op, Result


class _Asked(Generic[Result]):
    """A `done` callback with the span of the request that waits for it."""

    __slots__ = ("done", "span")

    def __init__(self, done: Done[Result], span: tracing.Span) -> None:
        self.done = done
        self.span = span

    def __call__(self, result: Result | PresenceError) -> None:
        self.done(result)


class TracedCommit(GroupCommit[Op, Result]):
    """Gives each group the spans of its own requests: the task's context is only the first request's."""

    def post(self, op: Op, done: Done[Result]) -> None:
        span = tracing.current()
        super().post(op, done if span is None else _Asked(done, span))

    def submit_many(self, ops: Sequence[Op]) -> asyncio.Future[list[Result | PresenceError]]:
        span, before = tracing.current(), len(self._waiting)
        future = super().submit_many(ops)
        if span is not None:  # the operations may end up in several groups
            self._waiting[before:] = [(op, _Asked(done, span)) for op, done in self._waiting[before:]]
        return future

    async def _run(self, group: list[tuple[Op, Done[Result]]]) -> None:
        spans = dict.fromkeys(done.span for _, done in group if isinstance(done, _Asked))
        with tracing.for_requests(list(spans), len(group)):
            await super()._run(group)

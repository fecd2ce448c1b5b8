"""Records a group of heartbeats and leaves: builds its calls, sends them in one exchange, reads the replies.

Called by store.group_commit with the group; owned by store.presence. An error of one write, or of its
course's master, is the result of that write and affects no others. A call that would keep Redis busy for too
long stops early, and the rest is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from time import monotonic
from typing import Any, NamedTuple

from ..errors import PresenceError, Unavailable
from ..settings import Settings
from . import calls, rounds
from .keys import Keys, Partition
from .redis.link import Command, Link
from .redis.resp import ScriptCall
from .write import HeartbeatResult, HeartbeatWrite, LeaveWrite, Outcome, WithSeq, Write

REFRESHED_LIMIT = 50_000  # courses
TAKEN_LIMIT = 50_000  # remembered sessions that were taken over
WRITES_OF_A_SESSION = 8
NOTHING = HeartbeatResult(0, 0, 0)
BUSY = "Redis had too much to do to record this in time"
Courses = dict[str, list[int]]


class _Call(NamedTuple):
    """A call, and which heartbeats, leaves or take-overs its reply is about."""

    command: Command | ScriptCall
    partition: Partition
    courses: Courses | None = None
    indices: Sequence[int] = ()
    refreshed: frozenset[str] = frozenset()
    take_overs: Sequence[WithSeq] = ()


class Recorder:
    """Calls `on_due(delay_ms, partition)` when a write has made a message due."""

    def __init__(
        self, link: Link, settings: Settings, keys: Keys, on_due: Callable[[int, int], None]
    ) -> None:
        self._link = link
        self._settings = settings
        self._limits = calls.heartbeat_limits(settings)
        self._keys = keys
        self._on_due = on_due
        self.refreshed: dict[
            str, float
        ] = {}  # when, by monotonic, the expiry of a course's sets was extended
        self._taken: dict[rounds.CourseViewer, list[HeartbeatWrite]] = {}  # by former owner

    async def record(self, writes: list[Write]) -> list[Outcome]:
        """Records a group, usually in one exchange. A result means that the write is recorded.

        Many arrivals take more exchanges (R12), between which Redis serves others. Raises Unavailable when no
        reply came.
        """
        until = monotonic() + self._link.timeout_s
        sent = rounds.share(writes)
        outcomes, again = await self._exchange(writes[:sent])
        if again or sent < len(writes):
            outcomes += [NOTHING] * (len(writes) - sent)
            await self._record_rest(writes, outcomes, [*again, *range(sent, len(writes))], until)
        return outcomes

    async def _record_rest(
        self, writes: list[Write], outcomes: list[Outcome], left: list[int], until: float
    ) -> None:
        """Records the writes at these indices, share by share. Those left at the end get an error."""
        while left and monotonic() < until:
            some = [writes[index] for index in left]
            sent = rounds.share(some)
            results, again = await self._exchange(some[:sent])
            for index, result in zip(left, results, strict=False):
                outcomes[index] = result
            left = [*(left[index] for index in again), *left[sent:]]
        for index in left:
            outcomes[index] = Unavailable(BUSY)

    async def _exchange(self, writes: list[Write]) -> tuple[list[Outcome], list[int]]:
        """Sends one call per partition and kind. Returns the outcomes, and the indices to send again."""
        outcomes: list[Outcome] = [NOTHING] * len(writes)
        self._reset_take_overs(writes)
        taken_over = rounds.taken_over(writes) if self._settings.allow_anonymous else ()
        planned: list[_Call] = []
        for indices in rounds.by_partition(writes, self._keys):
            planned += self._plan(writes, indices, taken_over)
        replies = await self._link.results([call.command for call in planned])
        unrecorded: list[int] = []
        for reply, call in zip(replies, planned, strict=True):
            unrecorded += self._read(reply, call, outcomes)
        again = rounds.to_send_again(writes, unrecorded) if unrecorded else []
        for reply, call in zip(replies, planned, strict=True):
            if call.take_overs and not isinstance(reply, PresenceError):
                self._mark_taken_over(call.take_overs)
        return outcomes, again

    def _plan(
        self, writes: list[Write], indices: list[int], taken_over: Collection[rounds.CourseViewer]
    ) -> Iterator[_Call]:
        """The calls of one partition, in order."""
        keys, settings = self._keys, self._settings
        partition = keys.partition_of(rounds.course_of(writes[indices[0]]))
        for heartbeats, leaves in rounds.rounds(writes, taken_over, indices):
            if taken_over and (found := rounds.take_overs(writes, heartbeats)):
                for at in range(0, len(found), calls.MAX_TAKE_OVERS):
                    some = found[at : at + calls.MAX_TAKE_OVERS]
                    command = calls.take_over_call(keys, settings, some, partition)
                    yield _Call(command, partition, take_overs=some)
            if heartbeats:
                yield from self._plan_heartbeats(writes, heartbeats, partition)
            for some_leaves in calls.bounded(leaves, lambda index: calls.LEAVE_ARGS) if leaves else ():
                yield _Call(
                    calls.leave_call(keys, settings, writes, some_leaves, partition),
                    partition,
                    indices=some_leaves,
                )

    def _plan_heartbeats(
        self, writes: list[Write], indices: list[int], partition: Partition
    ) -> Iterator[_Call]:
        courses = calls.by_course(writes, indices)
        refresh = self._to_refresh(courses)
        parts: Iterable[Courses] = (courses,)
        if calls.COURSE_ARGS * len(courses) + calls.HEARTBEAT_ARGS * len(indices) > calls.MAX_ARGS:
            parts = map(dict, calls.bounded(list(courses.items()), _args_of))
        for part in parts:
            command = calls.heartbeat_call(self._keys, self._limits, writes, part, refresh, partition)
            yield _Call(command, partition, courses=part, refreshed=refresh)

    def _read(self, reply: Any, call: _Call, outcomes: list[Outcome]) -> Sequence[int]:
        """Stores the results of a call at the indices of its writes; returns those it did not come to."""
        if isinstance(reply, PresenceError):
            for indices in (call.indices, *(call.courses or {}).values()):
                for index in indices:
                    outcomes[index] = reply
            return ()
        if call.courses is None:
            due_ms = calls.soonest_due(reply)
            left: Sequence[int] = call.indices[len(reply) - 1 :]
        else:
            due_ms, left = calls.heartbeat_results(reply, call.courses, outcomes, self._settings)
            self._note(call.refreshed & _without(call.courses, left))
        if due_ms:
            self._on_due(due_ms, call.partition.number)
        return left

    def _mark_taken_over(self, writes: Sequence[WithSeq]) -> None:
        """These sessions are the new viewers' now: the next heartbeats need no take-over."""
        for write, _ in writes:
            known = self._taken.setdefault((write.course_id, write.take_over_from), [])
            known.append(write)
            del known[:-WRITES_OF_A_SESSION]
            write.take_over_from = ""
            if len(self._taken) > TAKEN_LIMIT:
                del self._taken[next(iter(self._taken))]

    def _reset_take_overs(self, writes: Sequence[Write]) -> None:
        """A former owner sends a heartbeat again (has signed out, say): the next take-over must be sent."""
        if not self._taken:
            return
        for write in writes:
            if not isinstance(write, LeaveWrite):
                who = (write[0].course_id, write[0].viewer_id)
                for known in self._taken.pop(who, ()):
                    known.take_over_from = who[1]

    def _to_refresh(self, courses: Iterable[str]) -> frozenset[str]:
        """Courses whose sets' expiry we have not extended lately. It has half of HIDDEN_TTL to spare."""
        old = monotonic() - self._settings.hidden_ttl / 4
        return frozenset(course_id for course_id in courses if self.refreshed.get(course_id, old) <= old)

    def _note(self, courses: Collection[str]) -> None:
        if not courses:
            return
        if len(self.refreshed) + len(courses) > REFRESHED_LIMIT:
            self.refreshed.clear()
        self.refreshed.update(dict.fromkeys(courses, monotonic()))


def _without(courses: Courses, left: Sequence[int]) -> Set[str]:
    """The courses whose heartbeats are all recorded."""
    if not left:
        return courses.keys()
    return {course_id for course_id, indices in courses.items() if indices[-1] not in set(left)}


def _args_of(course: tuple[str, list[int]]) -> int:
    return calls.COURSE_ARGS + calls.HEARTBEAT_ARGS * len(course[1])

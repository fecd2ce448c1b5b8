"""Records a group of heartbeats and leaves: builds its calls, sends them in one exchange, reads the replies.

Called by store.group_commit, which gathers the group; owned by store.presence. Raises Unavailable for a group
as a whole; what is wrong with one write stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from ..settings import Settings
from . import calls, rounds
from .keys import Keys
from .redis.link import Command, Link
from .redis.resp import ScriptCall
from .write import HeartbeatResult, HeartbeatWrite, LeaveWrite, Outcome, Write

REFRESHED_LIMIT = 50_000  # courses
TAKEN_LIMIT = 50_000  # sessions that have changed hands
WRITES_OF_A_SESSION = 8
Courses = dict[str, list[int]]


class Recorder:
    """`on_due(delay_ms)` is called when a message of ours falls due."""

    def __init__(self, link: Link, settings: Settings, keys: Keys, on_due: Callable[[int], None]) -> None:
        self._link = link
        self._settings = settings
        self._keys = keys
        self._on_due = on_due
        self.refreshed: dict[str, float] = {}  # courses by when, as monotonic has it
        self._taken: dict[rounds.Who, list[HeartbeatWrite]] = {}  # by whose session it was

    async def record(self, writes: list[Write]) -> list[Outcome]:
        """One exchange for all; on failure nobody is told that they were recorded. Raises Unavailable."""
        keys, settings = self._keys, self._settings
        commands: list[Command | ScriptCall] = []
        readers: list[Courses | None] = []  # whose results each reply holds; None for one without
        results: list[Outcome] = [HeartbeatResult(0, 0, 0)] * len(writes)
        refreshed: set[str] = set()
        told: list[HeartbeatWrite] = []
        self._rearm(writes)
        taken_over = rounds.taken_over(writes) if settings.allow_anonymous else ()
        for heartbeats, leaves in rounds.rounds(writes, taken_over):
            if taken_over and (found := rounds.take_overs(writes, heartbeats)):
                commands.append(calls.take_over_call(keys, settings, found))
                readers.append(None)
                told += [write for write, _ in found]
            if heartbeats:
                courses = calls.by_course(writes, heartbeats)
                refresh = self._to_refresh(courses)
                refreshed |= refresh
                commands.append(calls.heartbeat_call(keys, settings, writes, courses, refresh))
                readers.append(courses)
            if leaves:
                commands.append(calls.leave_call(keys, settings, writes, leaves))
                readers.append(None)
        replies = await self._link.pipeline(commands)
        for reply, courses_of in zip(replies, readers, strict=True):
            if courses_of is None:
                due_ms = calls.soonest_due(reply)
            else:
                due_ms = calls.heartbeat_results(reply, courses_of, results, settings)
            if due_ms:
                self._on_due(due_ms)
        for write in told:
            self._disarm(write)
        self._note(refreshed)
        return results

    def _disarm(self, write: HeartbeatWrite) -> None:
        """Redis knows whose the session is now: it need not be told with every heartbeat."""
        known = self._taken.setdefault((write.course_id, write.take_over_from), [])
        known.append(write)
        del known[:-WRITES_OF_A_SESSION]
        write.take_over_from = ""
        if len(self._taken) > TAKEN_LIMIT:
            del self._taken[next(iter(self._taken))]

    def _rearm(self, writes: Sequence[Write]) -> None:
        """Who was taken over from speaks again (signs out, say): the next take-over must be told anew."""
        if not self._taken:
            return
        for write in writes:
            if not isinstance(write, LeaveWrite):
                who = (write[0].course_id, write[0].viewer_id)
                for known in self._taken.pop(who, ()):
                    known.take_over_from = who[1]

    def _to_refresh(self, courses: Iterable[str]) -> set[str]:
        """Courses whose sets we have not kept alive lately. Their expiry has room for half of HIDDEN_TTL."""
        old = monotonic() - self._settings.hidden_ttl / 4
        return {course_id for course_id in courses if self.refreshed.get(course_id, old) <= old}

    def _note(self, courses: set[str]) -> None:
        if len(self.refreshed) + len(courses) > REFRESHED_LIMIT:
            self.refreshed.clear()
        self.refreshed.update(dict.fromkeys(courses, monotonic()))

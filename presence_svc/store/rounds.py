"""Splits a group of writes into rounds: writes whose order matters must not share a call.

Pure; used by store.recorder.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .keys import Keys
from .write import LeaveWrite, WithSeq, Write

MANY_NEW = 120  # joins or leaves: 6 ms of Redis's time, or 9 if each is in a course of its own
CourseViewer = tuple[str, str]  # a viewer in a course


def by_partition(writes: Sequence[Write], keys: Keys) -> list[list[int]]:
    """The indices of a group's writes by partition, in order of arrival. One server has one partition."""
    if not keys.is_partitioned:
        return [list(range(len(writes)))]
    found: dict[int, list[int]] = {}
    for index, write in enumerate(writes):
        found.setdefault(keys.partition_of(course_of(write)).number, []).append(index)
    return list(found.values())


def course_of(write: Write) -> str:
    """The course that a heartbeat or a leave is about."""
    return write.course_id if isinstance(write, LeaveWrite) else write[0].course_id


def taken_over(writes: Sequence[Write]) -> set[CourseViewer]:
    """The anonymous viewers whose sessions are to be taken over."""
    found = [write[0] for write in writes if not isinstance(write, LeaveWrite)]
    return {(write.course_id, write.take_over_from) for write in found if write.take_over_from}


def rounds(
    writes: Sequence[Write], taken_over: Collection[CourseViewer] = (), indices: Sequence[int] | None = None
) -> list[tuple[list[int], list[int]]]:
    """Splits a group, or a part of it, into rounds of (heartbeats, leaves): heartbeats are sent first.

    A heartbeat after a leave of the same viewer starts a new round, and so does one that takes over from an
    anonymous viewer with an earlier heartbeat in this round.
    """
    found: list[tuple[list[int], list[int]]] = [([], [])]
    touched: set[CourseViewer] = set()
    for index in range(len(writes)) if indices is None else indices:
        write = writes[index]
        if isinstance(write, LeaveWrite):
            touched.add((write.course_id, write.viewer_id))
            found[-1][1].append(index)
        else:
            if touched and not touched.isdisjoint(_viewers(write)):
                found.append(([], []))
                touched.clear()
            if taken_over and (write[0].course_id, write[0].viewer_id) in taken_over:
                touched.add((write[0].course_id, write[0].viewer_id))
            found[-1][0].append(index)
    return found


def _viewers(write: Write) -> list[CourseViewer]:
    """The viewer of a write, and the one whose session it takes over, if any."""
    if isinstance(write, LeaveWrite):
        return [(write.course_id, write.viewer_id)]
    heartbeat = write[0]
    before = [(heartbeat.course_id, heartbeat.take_over_from)] if heartbeat.take_over_from else []
    return [(heartbeat.course_id, heartbeat.viewer_id), *before]


def share(writes: Sequence[Write]) -> int:
    """How many of these writes, from the first on, may be sent in one exchange (R12).

    Redis serves nobody between the calls of an exchange. Joins take it ten times as long as renewals do; only
    what this process has not sent before is taken for one, so that a call must be bounded by itself as well.
    """
    if len(writes) > MANY_NEW:
        new = 0
        for index, write in enumerate(writes):
            if isinstance(write, LeaveWrite) or not write[0].keys:
                new += 1
                if new > MANY_NEW:
                    return index
    return len(writes)


def to_send_again(writes: Sequence[Write], unrecorded: Collection[int]) -> list[int]:
    """The indices of the writes that were not recorded, and of all that the same viewers sent after them.

    What they sent after them may have been recorded; then it was too early.
    """
    found: list[int] = []
    waiting: set[CourseViewer] = set()
    left = set(unrecorded)
    for index, write in enumerate(writes):
        viewers = _viewers(write)
        if index in left or not waiting.isdisjoint(viewers):
            waiting.update(viewers)
            found.append(index)
    return found


def take_overs(writes: Sequence[Any], indices: list[int]) -> list[WithSeq]:
    """Those of a round's heartbeats that take over a session from an anonymous viewer."""
    return [writes[index] for index in indices if writes[index][0].take_over_from]

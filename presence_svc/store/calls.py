"""Builds the calls of heartbeat, take_over and leave.lua for many writes, and parses their replies.

Pure: data in, data out, no Redis. Used by store.recorder. The scripts' headers describe every argument.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from ..errors import Limited
from ..settings import Settings
from . import scripts
from .keys import Keys, Partition
from .redis.link import Command
from .redis.resp import ScriptCall, new_tuple, pack, pack_int, unpack
from .write import HeartbeatResult, Outcome, WithSeq

MAX_ARGS = 3_880  # of a call, not counting the few that come first
LEAVE_ARGS, HEARTBEAT_ARGS, COURSE_ARGS = 11, 7, 6
MAX_TAKE_OVERS = 10  # in one call, which has to do all of them: their heartbeats come right after it (R12)
Item = TypeVar("Item")
REFUSED = {-1: "too many chapters in this course", -2: "too many sessions of this viewer"}


def bounded(items: Sequence[Item], args_of: Callable[[Item], int]) -> Iterator[Sequence[Item]]:
    """Splits items so that no call has too many arguments: some servers allow 3,999 at most."""
    start, count = 0, 0
    for at, item in enumerate(items):
        count += args_of(item)
        if count > MAX_ARGS and at > start:
            yield items[start:at]
            start, count = at, args_of(item)
    yield items[start:]


def by_course(writes: Sequence[Any], indices: list[int]) -> dict[str, list[int]]:
    """The indices of a round's heartbeats by course, in order of arrival."""
    courses: defaultdict[str, list[int]] = defaultdict(list)
    for index in indices:
        courses[writes[index][0].course_id].append(index)
    return courses


def heartbeat_limits(settings: Settings) -> bytes:
    """Encodes the arguments that every heartbeat_call of this process begins with."""
    return pack(
        settings.publish_interval_ms,
        settings.ttl_ms,
        settings.hidden_ttl_ms,
        settings.sessions_per_viewer,
        settings.chapters_per_course,
        *settings.history_args,
    )


def heartbeat_call(
    keys: Keys,
    limits: bytes,
    writes: Sequence[Any],
    courses: dict[str, list[int]],
    refresh: Collection[str],
    partition: Partition,
) -> ScriptCall:
    """The call that records the heartbeats of `courses`. `refresh`: courses whose sets' expiry to extend."""
    names: list[bytes] = [partition.packed_agenda]
    args: list[bytes] = [limits, pack_int(len(courses))]
    heartbeats = 0
    for course_id, indices in courses.items():
        names.append(keys.packed_course(course_id))
        args.append(pack_int(-len(indices) if course_id in refresh else len(indices)))
        heartbeats += len(indices)
        for index in indices:
            write, seq = writes[index]
            names.append(write.keys or write.pack_keys(keys))
            args += (write.head, seq, write.tail)
    many_keys = 2 + 5 * len(courses) + 2 * heartbeats
    packed = b"".join((pack_int(many_keys), *names, *args))
    return ScriptCall(scripts.HEARTBEAT, 1 + many_keys + 9 + len(courses) + 5 * heartbeats, packed)


def heartbeat_results(
    reply: list[Any], courses: dict[str, list[int]], results: list[Outcome], settings: Settings
) -> tuple[int, list[int]]:
    """Stores each heartbeat's result at its index.

    Returns in how many ms a message is due (0 = none), and the indices that the call did not come to.
    """
    now, at, soonest = reply[0], 1, 0
    for indices in courses.values():
        if at >= len(reply):
            break
        total, due = reply[at], reply[at + 1]
        at += 2
        found: dict[Any, Outcome] = {}  # by lease end: nearly all of a course's leases end together
        for index, ends in zip(indices, reply[at : at + len(indices)], strict=False):
            result = found.get(ends)
            if result is None:
                result = found[ends] = _result(total, now, ends, settings)
            results[index] = result
        at += len(indices)
        soonest = _sooner(soonest, due, now)
    else:
        if at == len(reply):
            return soonest, []
    return soonest, _unrecorded(len(reply) - 1, courses)


def _unrecorded(size: int, courses: dict[str, list[int]]) -> list[int]:
    """The indices of the heartbeats that a reply of this size, less its first item, does not come to."""
    left: list[int] = []
    for indices in courses.values():
        left += indices[max(0, size - 2) :]
        size -= 2 + len(indices)
    return left


def _result(total: int, now: int, ends: Any, settings: Settings) -> Outcome:
    """The result of one heartbeat, from the reply of heartbeat.lua."""
    if type(ends) is not int:  # the reply to NEWEST: the end of the lease and the seq that was assigned
        lease, seq = ends.split()
        return HeartbeatResult(total, int(lease), now, int(seq))
    if ends < 0:
        return Limited(REFUSED[ends], retry_after_s=settings.ttl * random.uniform(1, 1.5))
    return new_tuple(HeartbeatResult, (total, ends or now, now, 0))


def take_over_call(
    keys: Keys, settings: Settings, writes: Sequence[WithSeq], partition: Partition
) -> Command:
    """The call that gives anonymous sessions to the viewers whose heartbeats follow.

    It sends the script's text: after an unknown SHA it would be sent again after the heartbeats, and they
    would have counted the same people twice.
    """
    names: list[str] = [partition.agenda, partition.where]
    args: list[Any] = [
        settings.publish_interval_ms,
        settings.ttl_ms,
        settings.sessions_per_viewer,
        *settings.history_args,
        len(writes),
    ]
    for write, seq in writes:
        course_id, heartbeat = write.course_id, write.heartbeat
        names += keys.course(course_id)
        for viewer_id in (write.take_over_from, write.viewer_id):
            names += (keys.viewer(course_id, viewer_id), keys.left(course_id, viewer_id))
        flag = "a" if heartbeat.anonymous else "-"
        args += (write.take_over_from, write.viewer_id, heartbeat.session_id, unpack(seq), flag)
    return ("EVAL", scripts.TAKE_OVER, len(names), *names, *args)


def leave_call(
    keys: Keys, settings: Settings, writes: Sequence[Any], indices: Sequence[int], partition: Partition
) -> Command:
    """The call that records a round's leaves."""
    names: list[str] = [partition.agenda, partition.where]
    args: list[Any] = [
        settings.publish_interval_ms,
        settings.leave_grace_ms,
        settings.ttl_ms,
        *settings.history_args,
        len(indices),
    ]
    for index in indices:
        course_id, viewer_id, leave = writes[index]
        names += keys.course(course_id)
        names += (keys.viewer(course_id, viewer_id), keys.left(course_id, viewer_id))
        args += (viewer_id, leave.session_id, "" if leave.seq is None else leave.seq, int(leave.soft))
    return ("EVALSHA", scripts.LEAVE, len(names), *names, *args)


def soonest_due(reply: list[int]) -> int:
    """In how many ms a message is due after these leaves or take-overs (0 = none)."""
    soonest = 0
    for due in reply[1:]:
        soonest = _sooner(soonest, due, reply[0])
    return soonest


def _sooner(soonest: int, due: int, now: int) -> int:
    if not due:
        return soonest
    return min(soonest, max(1, due - now)) if soonest else max(1, due - now)

"""Builds the calls of heartbeat, succeed, leave and count.lua for many submissions, and reads their replies.

Pure: data in, data out, no Redis. Called by store.presence; the scripts' headers name every argument.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from ..errors import Limited
from ..model import Count
from ..settings import Settings
from . import scripts
from .keys import Keys
from .redis.link import Command
from .redis.resp import Packed, made, number, text_of, words
from .write import Recorded, Result, Turn

REFUSED = {-1: "too many chapters in this course", -2: "too many sessions of this viewer"}


def by_course(ops: Sequence[Any], indices: list[int]) -> dict[str, list[int]]:
    """The indices of a round's heartbeats, gathered by course, in order of arrival."""
    courses: defaultdict[str, list[int]] = defaultdict(list)
    for index in indices:
        courses[ops[index].ready.course_id].append(index)
    return courses


def heartbeat_call(
    keys: Keys,
    settings: Settings,
    ops: Sequence[Any],
    courses: dict[str, list[int]],
    refresh: Collection[str],
) -> Packed:
    """The call that records the heartbeats of `courses`; in `refresh`: whose sets' expiry is pushed on."""
    names: list[bytes] = [words(keys.agenda, keys.where)]
    args: list[bytes] = [
        words(
            settings.publish_interval_ms,
            settings.ttl_ms,
            settings.hidden_ttl_ms,
            settings.sessions_per_viewer,
            settings.chapters_per_course,
            *settings.books,
            len(courses),
        )
    ]
    beats = 0
    for course_id, indices in courses.items():
        names.append(keys.packed_course(course_id))
        args.append(number(-len(indices) if course_id in refresh else len(indices)))
        beats += len(indices)
        for index in indices:
            ready, seq = ops[index]
            names.append(ready.keys)
            args += (ready.head, seq, ready.tail)
    many_keys = 2 + 5 * len(courses) + 2 * beats
    rest = b"".join((number(many_keys), *names, *args))
    return Packed(scripts.HEARTBEAT, 1 + many_keys + 9 + len(courses) + 5 * beats, rest)


def heartbeat_results(
    reply: list[Any], courses: dict[str, list[int]], results: list[Result], settings: Settings
) -> int:
    """Puts each heartbeat's result in its place; returns in how many ms a message is due (0 = none)."""
    now, at, soonest = reply[0], 1, 0
    for indices in courses.values():
        total, due = reply[at], reply[at + 1]
        at += 2
        found: dict[Any, Result] = {}  # of a course's leases nearly all end at one moment
        for index, ends in zip(indices, reply[at : at + len(indices)], strict=True):
            result = found.get(ends)
            if result is None:
                result = found[ends] = _result(total, now, ends, settings)
            results[index] = result
        at += len(indices)
        soonest = _sooner(soonest, due, now)
    return soonest


def _result(total: int, now: int, ends: Any, settings: Settings) -> Result:
    """What heartbeat.lua answers for one heartbeat."""
    if type(ends) is not int:  # of a FRESH one
        lease, seq = ends.split()
        return Recorded(total, int(lease), now, int(seq))
    if ends < 0:
        return Limited(REFUSED[ends], retry_after_s=settings.ttl)
    return made(Recorded, (total, ends or now, now, 0))


def succeed_call(keys: Keys, settings: Settings, heirs: Sequence[Turn[Any]]) -> Command:
    """The call that makes anonymous sessions those of the viewers whose heartbeats follow.

    By its text: an unknown SHA would be sent again behind the heartbeats, which had counted people twice.
    """
    names: list[str] = [keys.agenda, keys.where]
    args: list[Any] = [
        settings.publish_interval_ms,
        settings.ttl_ms,
        settings.sessions_per_viewer,
        *settings.books,
        len(heirs),
    ]
    for ready, seq in heirs:
        if heir := ready.succession:
            names += keys.course(heir.course_id)
            for viewer_id in (heir.former, heir.viewer_id):
                names += (keys.viewer(heir.course_id, viewer_id), keys.left(heir.course_id, viewer_id))
            flag = "a" if heir.said.anonymous else "-"
            args += (heir.former, heir.viewer_id, heir.said.session_id, text_of(seq), flag)
    return ("EVAL", scripts.SUCCEED.text, len(names), *names, *args)


def leave_call(keys: Keys, settings: Settings, ops: Sequence[Any], indices: list[int]) -> Command:
    """The call that ends the sessions of a round's leaves."""
    names: list[str] = [keys.agenda, keys.where]
    args: list[Any] = [
        settings.publish_interval_ms,
        settings.leave_grace_ms,
        settings.ttl_ms,
        *settings.books,
        len(indices),
    ]
    for index in indices:
        course_id, viewer_id, said = ops[index]
        names += keys.course(course_id)
        names += (keys.viewer(course_id, viewer_id), keys.left(course_id, viewer_id))
        args += (viewer_id, said.session_id, "" if said.seq is None else said.seq, int(said.soft))
    return ("EVALSHA", scripts.LEAVE, len(names), *names, *args)


def soonest_due(reply: list[int]) -> int:
    """In how many ms a message is due after these leaves or successions (0 = none)."""
    soonest = 0
    for due in reply[1:]:
        soonest = _sooner(soonest, due, reply[0])
    return soonest


def _sooner(soonest: int, due: int, now: int) -> int:
    if not due:
        return soonest
    return min(soonest, max(1, due - now)) if soonest else max(1, due - now)


def count_call(keys: Keys, courses: Sequence[str]) -> Command:
    """The call that counts these courses at one moment."""
    names = [key for course_id in courses for key in keys.course(course_id)]
    return ("EVALSHA", scripts.COUNT, len(names), *names, len(courses))


def count_results(reply: list[Any], courses: Sequence[str], *, warming: bool) -> list[Count]:
    """The counts in the reply of count.lua, in the order of the call."""
    now, at, counts = reply[0], 1, []
    for course_id in courses:
        total, anonymous, version, n = reply[at : at + 4]
        at += 4
        counts.append(
            Count(
                course_id=course_id,
                total=total,
                named=total - anonymous,
                anonymous=anonymous,
                chapters={reply[i].decode(): reply[i + 1] for i in range(at, at + 2 * n, 2)},
                version=version,
                as_of=now,
                warming=warming,
            )
        )
        at += 2 * n
    return counts

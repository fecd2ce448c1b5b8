"""Which submissions of a batch may share a call, and which must wait for the next: their order counts.

Pure; called by store.presence, which has batch.py build the calls.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .write import Departure, Op, Turn

Who = tuple[str, str]  # a viewer in a course


def formers(ops: Sequence[Op]) -> set[Who]:
    """The anonymous viewers whose sessions are to be somebody's."""
    beats = [op.ready.succession for op in ops if isinstance(op, Turn) and op.ready.succession]
    return {(beat.course_id, beat.former) for beat in beats}


def rounds(ops: Sequence[Op], formers: Collection[Who] = ()) -> list[tuple[list[int], list[int]]]:
    """Splits a batch into (heartbeats, leaves), each round's heartbeats before its leaves.

    A heartbeat that follows a leave of the same viewer starts a new round, and so does one that succeeds to
    an anonymous viewer who has just spoken: their order counts.
    """
    found: list[tuple[list[int], list[int]]] = [([], [])]
    touched: set[Who] = set()
    for index, op in enumerate(ops):
        if isinstance(op, Departure):
            touched.add((op.course_id, op.viewer_id))
            found[-1][1].append(index)
        else:
            if touched and not touched.isdisjoint(_selves(op)):
                found.append(([], []))
                touched.clear()
            if formers and (op.ready.course_id, op.ready.viewer_id) in formers:
                touched.add((op.ready.course_id, op.ready.viewer_id))
            found[-1][0].append(index)
    return found


def _selves(op: Turn[Any]) -> list[Who]:
    """Whose heartbeat this is, and whose the session was."""
    ready, heir = op.ready, op.ready.succession
    former = [(heir.course_id, heir.former)] if heir else []
    return [(ready.course_id, ready.viewer_id), *former]


def heirs(ops: Sequence[Any], indices: list[int]) -> list[Turn[Any]]:
    """Those of a round's heartbeats that succeed to an anonymous viewer."""
    return [ops[index] for index in indices if ops[index].ready.succession]

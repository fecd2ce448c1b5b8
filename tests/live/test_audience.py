"""A course's audience: groups that are told the same, and what a change costs each listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson
import pytest

from presence_svc.auth.caller import PUBLIC
from presence_svc.live.audience import Audience
from presence_svc.live.hub import Hub
from presence_svc.live.listener import Listener
from presence_svc.server.sse import SseProtocol
from presence_svc.web.services import Services
from presence_svc.web.sse.stream import Stream
from tests.live.eventually import eventually
from tests.live.work import BUILT_IN, LINE, Work
from tests.rig import Backend
from tests.server.test_sse import Books, Wire
from tests.store.replica import Replica

CROWD = 100
VERSION = 4_000_000_000_000  # later than any clock of these tests
# What a frame may cost a listener: built-in calls, and lines of Python from the loop over them to the return
# from the transport. Whoever must do more for each of them says so here.
CALLS = {"Listener.offer": 1, "SseProtocol.write": 1}
BUILT_INS = 1
LINES = 10


@pytest.fixture
async def hub(valkey_backend: Backend) -> AsyncIterator[Hub]:
    """Without its subscription: the test brings the messages."""
    replica = Replica(valkey_backend.client(protocol=2))
    for viewer in ("ada", "bob"):
        await replica.beat(viewer)
    made = Hub(replica.presence, replica.rosters, replica.people)
    yield made
    await made.stop()


def test_a_group_is_told_the_same() -> None:
    """Everybody is in one group by chapters, the curious also in one by names; no empty group is kept."""
    everything, some, nameless = (
        Listener(("c1",)),
        Listener(("c1",), 5, chapters=frozenset({"a"}), is_steady=True),
        Listener(("c1",), 20, nameless=frozenset({"c1"})),
    )
    audience = Audience("c1")
    for listener in (everything, some, nameless, some):
        audience.add(listener)

    assert audience.by_chapters == {None: {everything, nameless}, frozenset({"a"}): {some}}
    assert audience.by_names == {(5, True): {some}}
    assert (len(audience), audience.most_names) == (3, 5)
    assert all(listener in audience for listener in (everything, some, nameless))

    for listener in (some, everything, everything):
        audience.discard(listener)
    assert audience.by_chapters == {None: {nameless}}
    assert (audience.by_names, len(audience), audience.most_names) == ({}, 1, 0)
    assert some not in audience
    assert everything not in audience


@pytest.mark.parametrize(
    ("asked", "frames"),
    [
        ({}, 1),
        ({"chapters": frozenset({"ch-1"})}, 1),
        ({"chapters": frozenset()}, 1),
        ({"viewers": 5}, 2),
        ({"viewers": 5, "is_steady": True}, 2),
    ],
    ids=["counts", "a chapter", "no chapter", "names", "names that stay"],
)
async def test_a_change_costs_a_listener_its_writing(hub: Hub, asked: dict[str, Any], frames: int) -> None:
    """S8: from the channel's message to the last connection, nothing is done per listener but to offer it."""
    one = await _work_of_a_change(hub, 1, frames, asked)

    many = await _work_of_a_change(hub, 1 + CROWD, frames, asked)

    each = many.more_than(one, CROWD)
    lines, built_ins = each.pop(LINE), each.pop(BUILT_IN)
    assert each == {name: frames * n for name, n in CALLS.items()}
    assert (lines <= frames * LINES, built_ins <= frames * BUILT_INS) == (True, True), (lines, built_ins)


async def _work_of_a_change(hub: Hub, listeners: int, frames: int, asked: dict[str, Any]) -> Work:
    """A message about the course until each of so many has got its frames."""
    crowd = [hub.attach(("c1",), **asked) for _ in range(listeners)]
    wires = [_adopted(listener) for listener in crowd]
    feed = hub._feeds["c1"]
    await eventually("what was so before", lambda: not hub._reads._tasks and feed._timer is None)
    for wire in wires:
        wire.written.clear()

    with Work() as work:
        hub._on_message("c1", _message())
        await eventually("the frames", lambda: all(len(wire.written) == frames for wire in wires))
    await eventually("the end of all reads", lambda: not hub._reads._tasks)

    assert {len(wire.written) for wire in wires} == {frames}
    for listener in crowd:
        hub.detach(listener)
    return work


def _adopted(listener: Listener) -> Wire:
    """The connection that this listener's stream has been left to."""
    wire = Wire()
    stream = Stream(cast(Services, Books()), PUBLIC, listener, lambda: None)
    SseProtocol(cast(asyncio.Transport, wire), set(), stream)
    return wire


def _message() -> bytes:
    count = {"course_id": "c1", "total": 7, "named": 7, "anonymous": 0, "chapters": {"ch-1": 3}}
    return orjson.dumps({"type": "count", **count, "version": VERSION, "as_of": VERSION})

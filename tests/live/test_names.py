"""Names for a feed's listeners: as many as somebody wants, and never within a crowd's pause."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from presence_svc.live import feed as feed_
from presence_svc.live.feed import Feed
from presence_svc.live.listener import Listener
from presence_svc.live.names import send_names
from presence_svc.model import Roster, Viewer
from presence_svc.store.roster.reader import Rosters
from tests.live.test_feed import count_of, roster_of, told, viewer_of


class RostersStub:
    """Says who is there, and remembers how many were asked for and when."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []

    async def read(self, course_id: str, *, limit: int) -> Roster:
        self.asked.append((limit, asyncio.get_running_loop().time()))
        return roster_of(*(viewer_of(f"v{n}") for n in range(limit)))

    async def find_named(self, course_id: str, viewer_ids: list[str]) -> list[Viewer]:
        return []

    def public_view(self, course_id: str, viewer: Viewer) -> Viewer:
        return viewer


async def test_no_more_names_are_read_than_somebody_wants() -> None:
    """A badge that wants five costs five names."""
    feed, rosters = Feed("c1"), RostersStub()
    listener = Listener(("c1",), 5)
    feed.listeners.add(listener)

    await send_names(feed, cast(Rosters, rosters))

    assert [limit for limit, _ in rosters.asked] == [5]
    assert [len(message["viewers"]) for message in told(listener)] == [5]
    feed.close()


async def test_names_wait_for_the_pause_of_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """S8: a frame to a crowd, count or names, is rested from before names are read again."""
    monkeypatch.setattr(feed_, "SHARE", 1_000_000)
    feed, rosters = Feed("c1"), RostersStub()
    feed.listeners.add(Listener(("c1",), 5))
    feed.update(count_of(1))
    feed.send_viewers(roster_of(viewer_of("ada")), [])
    began = asyncio.get_running_loop().time()

    await send_names(feed, cast(Rosters, rosters))

    assert [at - began > 0.5 for _, at in rosters.asked] == [True]
    feed.close()

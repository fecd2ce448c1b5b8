"""A course's feed: frames by what is asked for, and a pause that names keep as well as counts."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from presence_svc.live import feed as feed_
from presence_svc.live.feed import Feed
from presence_svc.live.frame import count_frame
from presence_svc.live.listener import Listener
from presence_svc.model import Count, Roster, Viewer


def count_of(version: int, total: int = 1, **chapters: int) -> Count:
    return Count(
        course_id="c1", total=total, named=total, anonymous=0, chapters=chapters, version=version,
        as_of=version, warming=False,
    )  # fmt: skip


def viewer_of(name: str, joined_at: int = 0) -> Viewer:
    return Viewer(
        viewer_id=name, name=None, avatar_url=None, chapters=[], joined_at=joined_at, expires_at=joined_at
    )


def roster_of(*viewers: Viewer) -> Roster:
    return Roster(
        viewers=list(viewers), total=len(viewers), named=len(viewers), anonymous=0, next_cursor=None
    )


def told(listener: Listener) -> list[dict[str, Any]]:
    return [orjson.loads(frame.message) for frame in listener.take()]


async def test_a_frame_is_sent_when_it_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for one chapter is not told of another's changes; who asked for none, of no chapter's."""
    monkeypatch.setattr(feed_, "SHARE", 0)
    feed = Feed("c1")
    everything, some, none = (
        Listener(("c1",), chapters=chapters) for chapters in (None, frozenset({"a"}), frozenset[str]())
    )
    for listener in (everything, some, none):
        feed.listeners.add(listener)

    seen = []
    for count in (
        count_of(1, a=1, b=1),
        count_of(2, a=1, b=2),
        count_of(3, a=2, b=2),
        count_of(4, 5, a=2, b=2),
    ):
        feed.update(count)
        await asyncio.sleep(0.01)
        seen.append([len(told(listener)) for listener in (everything, some, none)])

    assert seen == [[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]


async def test_names_keep_the_pause_of_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """S8: what names cost is rested from, so that neither they nor counts take more than their share."""
    monkeypatch.setattr(feed_, "SHARE", 1_000_000)
    feed = Feed("c1")
    feed.listeners.add(Listener(("c1",), 5))
    feed.update(count_of(1))
    feed.send_viewers(roster_of(viewer_of("ada")), [])
    loop = asyncio.get_running_loop()

    began = loop.time()
    await feed.wait_for_pause()

    assert loop.time() - began > 0.5
    feed.close()


async def test_the_most_curious_decides_how_many_are_read() -> None:
    """A badge that wants five costs five names, and a course without names none."""
    feed = Feed("c1")
    for listener in (
        Listener(("c1",), 5),
        Listener(("c1",), 3),
        Listener(("c1",), 20, nameless=frozenset({"c1"})),
    ):
        feed.listeners.add(listener)

    assert feed.listeners.most_names == 5


async def test_only_who_has_left_is_replaced() -> None:
    """Those who are shown stay, in the order of joining, though others were heard from later."""
    feed = Feed("c1")
    steady = Listener(("c1",), 2, is_steady=True)
    feed.listeners.add(steady)
    ada, bob, cleo, dan = (viewer_of(name, at) for at, name in enumerate(("ada", "bob", "cleo", "dan")))
    feed.update(count_of(1))

    feed.send_viewers(roster_of(bob, ada), [])
    first = [one["viewer_id"] for one in told(steady)[-1]["viewers"]]
    feed.send_viewers(roster_of(dan, cleo), [ada, bob])
    again = told(steady)
    feed.send_viewers(roster_of(dan, cleo), [bob])
    last = [one["viewer_id"] for one in told(steady)[-1]["viewers"]]

    assert first == ["ada", "bob"]
    assert again == [] or [one["viewer_id"] for one in again[-1]["viewers"]] == first
    assert last == ["bob", "dan"]
    assert feed.steady_ids() == ["bob", "dan"]
    feed.close()


def test_what_a_badge_is_sent_is_bounded() -> None:
    """docs/streams.md says how many bytes: about 180 for a total, 12 more for each chapter asked for."""
    chapters = {f"ch-{n}": 40 for n in range(300)}
    count = count_of(1_795_672_318_696, 1_234, **chapters)

    total = len(count_frame(count, {}).text)
    everything = len(count_frame(count, chapters).text)

    assert total <= 180
    assert everything - total <= 12 * len(chapters)

"""Reads names for a feed's listeners, until nothing has changed meanwhile. Called by hub."""

from __future__ import annotations

from functools import partial

from ..model import MAX_VIEWERS
from ..store.roster.reader import Rosters
from .feed import Feed


async def tell_names(feed: Feed, rosters: Rosters) -> None:
    """As often as the feed's pause allows, as many names as somebody wants. Raises Unavailable."""
    try:
        feed.read_again = True
        while feed.read_again and feed.listeners:
            await feed.rest()
            feed.read_again = False
            await _tell(feed, rosters)
    finally:
        feed.reading = False


async def _tell(feed: Feed, rosters: Rosters) -> None:
    many = min(feed.listeners.most_names, MAX_VIEWERS)
    if not many:
        return
    roster = await rosters.read(feed.course_id, limit=many)
    listed = {viewer.viewer_id for viewer in roster.viewers}
    kept = await rosters.find_named(feed.course_id, [v for v in feed.kept() if v not in listed])
    feed.tell_viewers(roster, kept, partial(rosters.seen, feed.course_id))

"""Reads names for a feed's listeners, again if something changed in the meantime. Called by hub."""

from __future__ import annotations

from functools import partial

from ..model import MAX_VIEWERS
from ..store.roster.reader import Rosters
from .feed import Feed


async def send_names(feed: Feed, rosters: Rosters) -> None:
    """Reads and sends names, no more often than the feed's pause allows. Raises Unavailable."""
    try:
        feed.read_again = True
        while feed.read_again and feed.listeners:
            await feed.wait_for_pause()
            feed.read_again = False
            await _send(feed, rosters)
    finally:
        feed.reading = False


async def _send(feed: Feed, rosters: Rosters) -> None:
    many = min(feed.listeners.most_names, MAX_VIEWERS)
    if not many:
        return
    roster = await rosters.read(feed.course_id, limit=many)
    listed = {viewer.viewer_id for viewer in roster.viewers}
    kept = await rosters.find_named(feed.course_id, [v for v in feed.steady_ids() if v not in listed])
    feed.send_viewers(roster, kept, partial(rosters.public_view, feed.course_id))

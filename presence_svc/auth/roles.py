"""The one table of who may do what. The gate asks it; a test walks every route with every caller."""

from __future__ import annotations

import enum

from ..settings import Settings
from .caller import Role


class Action(enum.Enum):
    """What a route does, in the words of the contract."""

    HEARTBEAT = "heartbeat"
    LEAVE = "leave"
    COUNT = "count"
    VIEWERS = "viewers"
    EVICT = "evict"
    BATCH = "batch"
    STATS = "stats"
    HISTORY = "history"
    EXPORT = "export"
    METRICS = "metrics"


# A viewer acts for themselves only, in the courses that the token opens; the gate sees to that.
VIEWER = frozenset({Action.HEARTBEAT, Action.LEAVE, Action.COUNT, Action.VIEWERS, Action.EVICT})


def rights(settings: Settings) -> dict[Role, frozenset[Action]]:
    """Everything for services, and for everybody when nobody is asked who they are (AUTH=trusted)."""
    everything = frozenset(Action)
    if settings.auth != "jwt":
        return dict.fromkeys(Role, everything)
    public = {Action.LEAVE}  # with a leave token
    if settings.allow_anonymous:
        public.add(Action.HEARTBEAT)
    if settings.public_counts:
        public.add(Action.COUNT)
    return {Role.PUBLIC: frozenset(public), Role.VIEWER: VIEWER, Role.SERVICE: everything}

"""The table of which role may do what. Used by admission; a test tries every route as every role."""

from __future__ import annotations

import enum

from ..errors import Forbidden, PresenceError, Unauthorized
from ..settings import Settings
from .caller import Caller, Role


class Action(enum.Enum):
    """What a route does."""

    HEARTBEAT = "heartbeat"
    LEAVE = "leave"
    COUNT = "count"
    VIEWERS = "viewers"
    EVICT = "evict"
    BATCH = "batch"
    STATS = "stats"
    METRICS = "metrics"
    HISTORY = "history"
    EXPORT = "export"


# Only for themselves, and in the courses of their token: admission checks that.
VIEWER = frozenset({Action.HEARTBEAT, Action.LEAVE, Action.COUNT, Action.VIEWERS, Action.EVICT})
# In their own courses: with a creator's key only this, with a token in addition to a viewer's rights.
CREATOR = frozenset({Action.COUNT, Action.VIEWERS, Action.HISTORY})


def rights(settings: Settings) -> dict[Role, frozenset[Action]]:
    """Services may do everything, and with AUTH=trusted so may everybody."""
    everything = frozenset(Action)
    if settings.auth != "jwt":
        return dict.fromkeys(Role, everything)
    public = {Action.LEAVE}  # with a leave token
    if settings.allow_anonymous:
        public.add(Action.HEARTBEAT)
    if settings.public_counts:
        public.add(Action.COUNT)
    return {
        Role.PUBLIC: frozenset(public),
        Role.VIEWER: VIEWER,
        Role.CREATOR: CREATOR,
        Role.SERVICE: everything,
    }


class Permissions:
    """Judges by the table, for each course."""

    def __init__(self, settings: Settings) -> None:
        self._rights = rights(settings)

    def may(self, caller: Caller, action: Action) -> bool:
        """Whether the role allows the action, at least in some course."""
        return action in self._rights[caller.role]

    def refusal(self, caller: Caller, action: Action, course_id: str = "") -> PresenceError | None:
        """The error if the action is not allowed in this course, else None. Public actions always are."""
        if action in self._rights[Role.PUBLIC] and action in self._rights[caller.role]:
            return None
        if course_id and action in CREATOR and caller.owns(course_id):
            return None
        if action is Action.STATS and caller.owns_all:  # which are only sums of the counts of their courses
            return None
        if not self.may(caller, action):
            if caller.role is Role.PUBLIC:
                return Unauthorized("a bearer token is needed")
            return Forbidden(f"a {caller.role.value} may not do this")
        if course_id:
            try:
                caller.check_course(course_id)
            except Forbidden as error:
                return error
        return None

"""The one table of who may do what. Admission asks it; a test walks every route with every caller."""

from __future__ import annotations

import enum

from ..errors import Forbidden, PresenceError, Unauthorized
from ..settings import Settings
from .caller import Caller, Role


class Action(enum.Enum):
    """What a route does, in the words of the contract."""

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


# A viewer acts for themselves only, in the courses that the token opens; admission sees to that.
VIEWER = frozenset({Action.HEARTBEAT, Action.LEAVE, Action.COUNT, Action.VIEWERS, Action.EVICT})
# Of their own courses: by a key with nothing else, or by a token beside what a viewer may.
CREATOR = frozenset({Action.COUNT, Action.VIEWERS, Action.HISTORY})


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
    return {
        Role.PUBLIC: frozenset(public),
        Role.VIEWER: VIEWER,
        Role.CREATOR: CREATOR,
        Role.SERVICE: everything,
    }


class Permissions:
    """The table, asked course by course."""

    def __init__(self, settings: Settings) -> None:
        self._rights = rights(settings)

    def may(self, caller: Caller, action: Action) -> bool:
        """Whether the role may, in some course at least."""
        return action in self._rights[caller.role]

    def refusal(self, caller: Caller, action: Action, course_id: str = "") -> PresenceError | None:
        """Why they may not, in this course; None for who may. What strangers may see needs no course."""
        if action in self._rights[Role.PUBLIC] and action in self._rights[caller.role]:
            return None
        if course_id and action in CREATOR and caller.owns(course_id):
            return None
        if action is Action.STATS and caller.owns_all:  # the counts of their courses, added up
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

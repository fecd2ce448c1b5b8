"""Who calls, and why a token was refused. Passed from tokens to admission to routes."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from ..errors import Forbidden, Unauthorized


class Role(enum.Enum):
    """PUBLIC has no credentials, VIEWER a token, CREATOR a key to some courses, SERVICE an API key."""

    PUBLIC = "public"
    VIEWER = "viewer"
    CREATOR = "creator"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Caller:
    """A role and, for a viewer, the token's content. Times are in seconds since 1970.

    `courses` are accessible and `owned` are the caller's own: ids with a blank around each, because a set
    takes ten times the memory; None = any. `claimed_id`: the token's name for the viewer, if it is no valid
    id. `expires_at` is the token's end; until `holds_until` (monotonic clock) it need not be judged again.
    """

    role: Role
    subject: str = ""
    name: str | None = None
    avatar_url: str | None = None
    courses: str | None = None
    owned: str | None = ""
    claimed_id: str = ""
    expires_at: float = math.inf
    holds_until: float = math.inf

    def check_course(self, course_id: str) -> None:
        """Raises Forbidden for a course that the token does not list."""
        if self.courses is not None and f" {course_id} " not in self.courses:
            raise Forbidden("the token does not give access to this course")

    def owns(self, course_id: str) -> bool:
        """Whether this is the course's creator."""
        return self.owned is None or f" {course_id} " in self.owned

    @property
    def owns_all(self) -> bool:
        """Whether this is every course's creator."""
        return self.owned is None or (self.role is Role.CREATOR and self.courses is None)


PUBLIC = Caller(Role.PUBLIC)
SERVICE = Caller(Role.SERVICE)


class TokenRefused(Unauthorized):
    """A token was presented and is not valid; `detail` says why, and contains nothing of the token."""

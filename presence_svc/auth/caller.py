"""Who calls, and why a token was refused. Passed from tokens to admission to routes."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from ..errors import Forbidden, Unauthorized


class Role(enum.Enum):
    """PUBLIC has shown no credentials, VIEWER a token, CREATOR a key to some courses, SERVICE an API key."""

    PUBLIC = "public"
    VIEWER = "viewer"
    CREATOR = "creator"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Caller:
    """A role and, for a viewer, what the token says. Times in s since 1970.

    `courses` that are open, and those `owned`: the ids with a blank around each, since a set takes ten times
    the memory; None = any. `said`: what the token calls the viewer, where that can be no id.
    `expires_at` is the token's end; until `holds_until`, by the monotonic clock, it need not be judged again.
    """

    role: Role
    subject: str = ""
    name: str | None = None
    avatar_url: str | None = None
    courses: str | None = None
    owned: str | None = ""
    said: str = ""
    expires_at: float = math.inf
    holds_until: float = math.inf

    def check_course(self, course_id: str) -> None:
        """Raises Forbidden for a course that the token does not list."""
        if self.courses is not None and f" {course_id} " not in self.courses:
            raise Forbidden("the token does not open this course")

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
    """A token was shown and does not hold; `detail` says why and holds nothing of the token."""

"""The paths of a course, for the router and for those who go past it, and how an id looks in them."""

from __future__ import annotations

import re

from ..model import ID_PATTERN

COURSE = "/v1/courses/{course_id}"
HEARTBEAT = f"{COURSE}/heartbeat"
SOCKET = f"{COURSE}/ws"
ID = ID_PATTERN.removeprefix("^").removesuffix("$")


def matcher(path: str, course_id: str = "[^/]+") -> re.Pattern[str]:
    """Matches a path whole; its one group is the course. `course_id` says how that may look."""
    return re.compile(path.replace("{course_id}", f"({course_id})") + r"\Z")

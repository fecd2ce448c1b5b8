"""The paths of a course, for the router and for code that bypasses it, and the pattern of an id in them."""

from __future__ import annotations

import re

from ..model import ID_PATTERN

COURSE = "/v1/courses/{course_id}"
HEARTBEAT = f"{COURSE}/heartbeat"
SOCKET = f"{COURSE}/ws"
ID = ID_PATTERN.removeprefix("^").removesuffix("$")


def matcher(path: str, course_id: str = "[^/]+") -> re.Pattern[str]:
    """Matches a whole path; its one group is the course. `course_id` is the pattern of that group."""
    return re.compile(path.replace("{course_id}", f"({course_id})") + r"\Z")

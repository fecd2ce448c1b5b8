"""One example of each body and reply, by the name of its model. Shown by OpenAPI; a test holds them to it."""

from __future__ import annotations

from typing import Any

NOW = 1_790_000_000_123
HOUR = 1_789_999_200_000
COURSE = "python-101"
HEARTBEAT = {"viewer_id": "u1", "session_id": "tab-1", "chapter_id": "ch-1", "name": "Ada", "seq": 7}
REPLY = {
    **{"course_id": COURSE, "viewer_id": "u1", "session_id": "tab-1", "total": 3},
    **{"expires_at": NOW + 60_000, "next_heartbeat_ms": 25_800, "leave_token": "v1.AbC"},
}
COUNT = {
    **{"course_id": COURSE, "total": 3, "named": 2, "anonymous": 1, "chapters": {"ch-1": 2}},
    **{"version": NOW, "as_of": NOW, "warming": False},
}
VIEWER = {
    **{"viewer_id": "u1", "name": "Ada", "avatar_url": "https://example.com/ada.png", "chapters": ["ch-1"]},
    **{"joined_at": NOW - 90_000, "expires_at": NOW + 60_000},
}
PROBLEM = {
    **{"type": "urn:presence:invalid", "title": "Invalid input", "status": 422},
    "detail": "/chapter_id: String should match pattern",
    "errors": [{"pointer": "/chapter_id", "detail": "String should match pattern"}],
}
SPAN = {"tz": "Asia/Kolkata", "from": HOUR, "to": HOUR + 1_800_000, "as_of": NOW}

EXAMPLES: dict[str, Any] = {
    "Heartbeat": HEARTBEAT,
    "HeartbeatReply": REPLY,
    "HeartbeatBatch": {"heartbeats": [{"course_id": COURSE, **HEARTBEAT}]},
    "HeartbeatResults": {"results": [REPLY, PROBLEM]},
    "Leave": {"viewer_id": "u1", "session_id": "tab-1", "seq": 8, "soft": True},
    "Count": COUNT,
    "Counts": {"counts": [COUNT]},
    "Courses": {"course_ids": [COURSE, "redis-in-action"], "chapters": "none"},
    "Watch": {"course_ids": [COURSE, "redis-in-action"], "chapters": "none", "viewers": 5, "order": "joined"},
    "Roster": {"viewers": [VIEWER], "total": 3, "named": 2, "anonymous": 1, "next_cursor": None},
    "Stats": {
        **{"total": 5, "courses": 2, "top": [{"course_id": COURSE, "total": 3}], "as_of": NOW},
        **{"warming": False, "people": 4, "exact": True, "bound_s": None, "page": None, "next_cursor": None},
    },
    "History": {
        **{"course_id": COURSE, "chapter_id": None, "step": "15m", "unique_approximate": False, **SPAN},
        **{"t": [HOUR, HOUR + 900_000], "peak": [12, None], "average": [8.5, None]},
        **{"viewer_minutes": [127.5, None], "unique": [20, None], "partial": [False, True]},
    },
    "Calendar": {
        **{"course_id": COURSE, "weeks": 4, **SPAN},
        **{"peak": [[None, 12]], "average": [[None, 8.5]]},
    },
    "Heatmap": {
        **{"course_id": COURSE, "t": [HOUR, HOUR + 900_000], **SPAN},
        "chapters": [
            {"chapter_id": "ch-1", "viewer_minutes": 127.5, "peak": [12, None], "average": [8.5, None]}
        ],
    },
    "ExportRow": {
        **{"key": f"{COURSE}//{HOUR}", "course_id": COURSE, "chapter_id": None, "t": HOUR},
        **{"closed_at": NOW, "peak": 12, "average": 8.5, "viewer_minutes": 127.5, "partial": False},
    },
    "Named": {"titles": {COURSE: {"title": "Python 101", "chapters": {"ch-1": "First steps"}}}},
    "Me": {"role": "creator", "courses": [COURSE]},
    "Problem": PROBLEM,
}
EVENT_STREAM = (
    f"event: count\nid: {NOW}\n"
    f'data: {{"course_id":"{COURSE}","total":3,"named":2,"anonymous":1,"chapters":{{"ch-1":2}},'
    f'"version":{NOW},"as_of":{NOW},"warming":false}}\n\n'
)

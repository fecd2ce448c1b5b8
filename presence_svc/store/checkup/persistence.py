"""Checks whether Redis keeps its data over a restart: presence recovers within a lease, history does not."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from .finding import CheckContext, Finding


async def persistence(redis: Redis, context: CheckContext) -> list[Finding]:
    """Warns if history is on in a Redis without persistence."""
    try:
        found = await redis.config_get("appendonly", "save")
    except NoPermissionError:
        raise
    except ResponseError:  # a managed service that does not allow CONFIG
        return [
            Finding(True, "persistence", "cannot be checked here: make sure that a restart keeps the data")
        ]
    if found.get("appendonly") == "yes":
        return [Finding(True, "persistence", "an append-only file: a restart keeps history")]
    if found.get("save"):
        return [Finding(True, "persistence", "snapshots: a restart loses history since the last one")]
    detail = (
        "Redis keeps nothing over a restart, and PRESENCE_HISTORY is on: set appendonly yes, collect the"
        " export (docs/history.md), or set PRESENCE_HISTORY=off"
    )
    return [Finding(True, "persistence", detail, warns=True)]

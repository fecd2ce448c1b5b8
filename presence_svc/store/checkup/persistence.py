"""Whether Redis keeps its data over a restart: presence heals within a lease, history does not."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from .finding import Asked, Finding


async def persistence(redis: Redis, asked: Asked) -> list[Finding]:
    """A warning where history is kept in a Redis that keeps nothing."""
    try:
        found = await redis.config_get("appendonly", "save")
    except NoPermissionError:
        raise
    except ResponseError:  # a managed service that lets nobody ask
        return [Finding(True, "persistence", "cannot be asked here: see that a restart keeps the data")]
    if found.get("appendonly") == "yes":
        return [Finding(True, "persistence", "an append-only file: history outlives a restart")]
    if found.get("save"):
        return [Finding(True, "persistence", "snapshots: a restart loses history since the last one")]
    detail = (
        "Redis keeps nothing over a restart, and PRESENCE_HISTORY is on: set appendonly yes, collect the"
        " export (docs/history.md), or set PRESENCE_HISTORY=off"
    )
    return [Finding(True, "persistence", detail, warns=True)]

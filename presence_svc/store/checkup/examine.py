"""What can be wrong with a Redis and with the data in it, found without changing anything.

Called by `presence-svc doctor`. What this user may not ask for is left out: serving needs no such right.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from ...errors import Misconfigured, Unavailable
from ..keys import Keys, Partition
from .consistency import consistency
from .finding import Asked, Finding
from .persistence import persistence
from .preflight import check_database, is_new_enough
from .rights import missing_rights

CLOCK_LIMIT_MS = 5_000


async def examine(
    redis: Redis,
    keys: Keys,
    *,
    db: int = 0,
    pool: int = 16,
    user: str = "",
    partition: Partition | None = None,
    keeps_history: bool = False,
) -> list[Finding]:
    """All findings about one Redis. Raises Unavailable when it does not answer.

    `db`, `pool` (connections of one process) and `user` are what the settings say; `partition` is one that a
    master of a Cluster has.
    """
    try:
        began = time.perf_counter()
        with suppress(NoPermissionError):  # refused is answered, too
            await redis.ping()
        took_ms = (time.perf_counter() - began) * 1000
        found = [Finding(True, "reachable", f"answered in {took_ms:.1f} ms")]
        wrong = await missing_rights(redis, keys, user, partition=partition)
        found.append(Finding(not wrong, "rights", wrong or "all that the service does"))
        looks = [_server, _clients, _clock, consistency]
        if not keys.is_partitioned:  # a Cluster has one database
            looks.insert(2, _database)
        for look in (*looks, persistence) if keeps_history else looks:
            try:
                found += await look(redis, Asked(keys, db, pool))
            except NoPermissionError:
                name = look.__name__.lstrip("_")
                found.append(Finding(True, name, "not looked at: this user may not ask, and need not"))
        return found
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"Redis: {str(error) or type(error).__name__}") from error


async def _server(redis: Redis, asked: Asked) -> list[Finding]:
    info = await redis.info()
    return [_version(info), _eviction(info)]


async def _clients(redis: Redis, asked: Asked) -> list[Finding]:
    """Every process that serves opens as many as its pool has, and one for its subscription."""
    each = asked.pool + 1
    allowed = int((await redis.info("clients")).get("maxclients", 0))
    if asked.keys.is_partitioned:  # where nobody says how many processes there are
        told = f"{allowed:,} allowed, each process of the service may open {each}"
        return [Finding(not allowed or each <= allowed, "connections", told)]
    ((_, processes),) = await redis.pubsub_numsub(f"{asked.keys.bus}:{asked.db}")
    need = max(1, processes) * each
    detail = f"{allowed:,} allowed, {max(1, processes)} process(es) of the service may open {each} each"
    if not allowed or need <= allowed:
        return [Finding(True, "connections", detail)]
    advice = (
        f"set PRESENCE_REDIS_POOL to {max(2, allowed // max(1, processes) - 2)} or less, or raise maxclients"
    )
    return [Finding(False, "connections", f"{detail}: {advice}")]


async def _database(redis: Redis, asked: Asked) -> list[Finding]:
    channels = await redis.pubsub_channels(f"{asked.keys.bus}:*")
    try:
        check_database(
            [str(channel, "utf-8") if isinstance(channel, bytes) else channel for channel in channels],
            asked.keys,
            asked.db,
        )
    except Misconfigured as error:
        return [Finding(False, "database", error.detail)]
    return [Finding(True, "database", f"{asked.db}, alone with this prefix")]


def _version(info: dict[str, Any]) -> Finding:
    """Valkey says which Redis it is like, and its own version beside that."""
    version = str(info["redis_version"])
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    fine = is_new_enough(version)
    return Finding(fine, "version", name if fine else f"{name} is too old: 7.0 at least")


def _eviction(info: dict[str, Any]) -> Finding:
    policy = str(info["maxmemory_policy"])
    if policy == "noeviction":
        return Finding(True, "eviction", policy)
    return Finding(
        False,
        "eviction",
        f"maxmemory-policy is {policy}: Redis may drop parts of a course when memory is short,"
        " set it to noeviction",
    )


async def _clock(redis: Redis, asked: Asked) -> list[Finding]:
    """Leases go by Redis's clock alone (S3); tokens and logs go by ours."""
    before_ms = time.time() * 1000
    seconds, micros = await redis.time()
    here_ms = (before_ms + time.time() * 1000) / 2
    apart_ms = seconds * 1000 + micros / 1000 - here_ms
    return [Finding(abs(apart_ms) <= CLOCK_LIMIT_MS, "clock", f"Redis is {apart_ms:+.0f} ms from here")]

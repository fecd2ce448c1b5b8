"""Checks a Redis and the data in it, without changing anything.

Called by `presence-svc doctor`. Checks that the Redis user has no permission for are skipped, as serving does
not need those permissions.
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
from .finding import CheckContext, Finding
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
    """Runs all checks on one Redis. Raises Unavailable if it does not answer.

    `db`, `pool` (connections per process) and `user` come from the settings; on a Cluster, `partition` is one
    of this master's partitions.
    """
    try:
        began = time.perf_counter()
        with suppress(NoPermissionError):  # a refusal is an answer, too
            await redis.ping()
        took_ms = (time.perf_counter() - began) * 1000
        found = [Finding(True, "reachable", f"answered in {took_ms:.1f} ms")]
        wrong = await missing_rights(redis, keys, user, partition=partition)
        found.append(Finding(not wrong, "rights", wrong or "all rights that the service needs"))
        checks = [_server, _clients, _clock, consistency]
        if not keys.is_partitioned:  # a Cluster has one database
            checks.insert(2, _database)
        for check in (*checks, persistence) if keeps_history else checks:
            try:
                found += await check(redis, CheckContext(keys, db, pool))
            except NoPermissionError:
                name = check.__name__.lstrip("_")
                found.append(Finding(True, name, "skipped: this user has no permission, and needs none"))
        return found
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"Redis: {str(error) or type(error).__name__}") from error


async def _server(redis: Redis, context: CheckContext) -> list[Finding]:
    info = await redis.info()
    return [_version(info), _eviction(info)]


async def _clients(redis: Redis, context: CheckContext) -> list[Finding]:
    """Checks the limit of clients: each process opens as many as its pool has, and one to subscribe."""
    each = context.pool + 1
    allowed = int((await redis.info("clients")).get("maxclients", 0))
    if context.keys.is_partitioned:  # a Cluster does not show how many processes there are
        detail = f"{allowed:,} allowed, each process of the service may open {each}"
        return [Finding(not allowed or each <= allowed, "connections", detail)]
    ((_, processes),) = await redis.pubsub_numsub(f"{context.keys.bus}:{context.db}")
    need = max(1, processes) * each
    detail = f"{allowed:,} allowed, {max(1, processes)} process(es) of the service may open {each} each"
    if not allowed or need <= allowed:
        return [Finding(True, "connections", detail)]
    advice = (
        f"set PRESENCE_REDIS_POOL to {max(2, allowed // max(1, processes) - 2)} or less, or raise maxclients"
    )
    return [Finding(False, "connections", f"{detail}: {advice}")]


async def _database(redis: Redis, context: CheckContext) -> list[Finding]:
    channels = await redis.pubsub_channels(f"{context.keys.bus}:*")
    try:
        check_database(
            [str(channel, "utf-8") if isinstance(channel, bytes) else channel for channel in channels],
            context.keys,
            context.db,
        )
    except Misconfigured as error:
        return [Finding(False, "database", error.detail)]
    return [Finding(True, "database", f"{context.db}, the only one with this prefix")]


def _version(info: dict[str, Any]) -> Finding:
    """Valkey reports the Redis version that it is compatible with, and its own separately."""
    version = str(info["redis_version"])
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    fine = is_new_enough(version)
    return Finding(
        fine, "version", name if fine else f"{name} is too old: Redis 7.0 or newer is needed, or Valkey"
    )


def _eviction(info: dict[str, Any]) -> Finding:
    policy = str(info["maxmemory_policy"])
    if policy == "noeviction":
        return Finding(True, "eviction", policy)
    return Finding(
        False,
        "eviction",
        f"maxmemory-policy is {policy}: Redis may drop parts of a course when memory is short;"
        " set it to noeviction",
    )


async def _clock(redis: Redis, context: CheckContext) -> list[Finding]:
    """Leases go by Redis's clock alone (S3); tokens and logs go by ours."""
    before_ms = time.time() * 1000
    seconds, micros = await redis.time()
    here_ms = (before_ms + time.time() * 1000) / 2
    apart_ms = seconds * 1000 + micros / 1000 - here_ms
    return [
        Finding(
            abs(apart_ms) <= CLOCK_LIMIT_MS, "clock", f"Redis's clock differs from ours by {apart_ms:+.0f} ms"
        )
    ]

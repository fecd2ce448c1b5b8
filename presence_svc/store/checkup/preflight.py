"""Checks a Redis before the service starts: its version, and that no other database uses our prefix.

Called by app and `serve`. A check that is forbidden or gets no answer does not prevent the start, nor does an
eviction policy that may drop keys or a low limit of clients, which are logged.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from ...errors import Misconfigured, PresenceError, Unavailable
from ..keys import Keys
from ..redis.cluster.link import ClusterLink
from ..redis.link import Link
from ..scripts import every_script

log = logging.getLogger("presence.redis")
OLDEST = (7, 0)
NO_EVICTION = "noeviction"


async def preflight(link: Link, keys: Keys, *, warns: bool = False, pool: int = 0) -> None:
    """Raises Misconfigured with advice.

    With `warns`, for a replica, it also loads the scripts and logs problems that do not prevent the start.
    `pool` is how many connections the replica may open, besides one for subscriptions.
    """
    await link.warm()
    try:
        info, memory, clients = await link.results(
            [("INFO", part) for part in ("server", "memory", "clients")]
        )
    except Unavailable:
        return
    if not isinstance(info, PresenceError):
        _check_version(_facts(info).get("redis_version", ""))
    check_database(await channels_of(link, keys), keys, link.db)
    if warns:
        await _load_scripts(link)
    if warns and not isinstance(memory, PresenceError):
        _warn_of_eviction(_facts(memory))
    if warns and not isinstance(clients, PresenceError):
        _warn_of_few_connections(_facts(clients), pool)


async def _load_scripts(link: Link) -> None:
    """Saves each script's first call a second round trip."""
    texts = [script.text for script in every_script(sharded=link.sharded)]
    if isinstance(link, ClusterLink):
        await link.load_scripts(texts)
        return
    with suppress(Unavailable):
        await link.results([("SCRIPT", "LOAD", text) for text in texts])


async def channels_of(link: Link, keys: Keys) -> list[str]:
    """The channels that mark databases which use our prefix; none if Redis is away or forbids the command."""
    try:
        (channels,) = await link.results([("PUBSUB", "CHANNELS", f"{keys.bus}:*")])
    except Unavailable:
        return []
    return [] if isinstance(channels, PresenceError) else [channel.decode() for channel in channels]


def _facts(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _warn_of_eviction(memory: dict[str, str]) -> None:
    policy = memory.get("maxmemory_policy", NO_EVICTION)
    if policy != NO_EVICTION and memory.get("maxmemory", "0") != "0":
        log.warning(
            "redis evicts viewers when it is full: its maxmemory-policy is %s, not noeviction", policy
        )


def _warn_of_few_connections(clients: dict[str, str], pool: int) -> None:
    allowed = int(clients.get("maxclients", "0"))
    if 0 < allowed <= pool:
        log.warning(
            "redis accepts at most %d clients, but PRESENCE_REDIS_POOL is %d, and subscriptions need one:"
            " the service works with the connections it gets; `presence-svc doctor` says how many would fit",
            allowed,
            pool,
        )


def _check_version(version: str) -> None:
    if version and not is_new_enough(version):
        raise Misconfigured(
            f"PRESENCE_REDIS_URL: Redis {version} is too old: Redis 7.0 or newer is needed, or Valkey"
        )


def is_new_enough(version: str) -> bool:
    """Valkey reports the Redis version that it is compatible with."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return len(numbers) < 2 or tuple(numbers) >= OLDEST


def check_database(channels: list[str], keys: Keys, db: int) -> None:
    """Raises Misconfigured if another database uses our prefix: channels are common to all databases."""
    others = sorted({channel.rpartition(":")[2] for channel in channels} - {str(db)})
    others = [other for other in others if other.isdigit()]
    if others:
        raise Misconfigured(
            f"PRESENCE_KEY_PREFIX={keys.prefix} is in use in database {others[0]} of this Redis, and ours is"
            f" database {db}: channels are common to all databases, so that both would receive each other's"
            " changes; set another PRESENCE_KEY_PREFIX for one of the two"
        )

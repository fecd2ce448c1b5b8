"""What must be true of a Redis before anybody is served: its version, and that one prefix is in one database.

Called by app and `serve` at start. A check that is forbidden, or gets no answer, does not prevent a start.
Nor does a Redis that may evict keys, or lets few clients in, which is said in the log.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from ...errors import Misconfigured, PresenceError, Unavailable
from ..keys import Keys
from ..redis.link import Link
from ..scripts import every_script

log = logging.getLogger("presence.redis")
OLDEST = (7, 0)
NO_EVICTION = "noeviction"


async def preflight(link: Link, keys: Keys, *, tells: bool = False, pool: int = 0) -> None:
    """Raises Misconfigured, saying what to do.

    `tells`: a replica starts, which loads its scripts and logs what is wrong and no reason not to start.
    `pool`: how many connections this process may open, beside one for subscriptions.
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
    if tells:
        await _load_scripts(link)
    if tells and not isinstance(memory, PresenceError):
        _warn_of_eviction(_facts(memory))
    if tells and not isinstance(clients, PresenceError):
        _warn_of_few_connections(_facts(clients), pool)


async def _load_scripts(link: Link) -> None:
    """Else the first call of each takes two round trips. On a Cluster it does: each master has its own."""
    if not link.is_cluster:
        texts = [script.text for script in every_script(sharded=link.sharded)]
        with suppress(Unavailable):
            await link.results([("SCRIPT", "LOAD", text) for text in texts])


async def channels_of(link: Link, keys: Keys) -> list[str]:
    """The marks of databases where our prefix is in use; none when nobody may look, or Redis is away."""
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
        log.warning("redis drops viewers when it is full: its maxmemory-policy is %s, not noeviction", policy)


def _warn_of_few_connections(clients: dict[str, str], pool: int) -> None:
    allowed = int(clients.get("maxclients", "0"))
    if 0 < allowed <= pool:
        log.warning(
            "redis lets in %d clients at most, and PRESENCE_REDIS_POOL is %d, beside one for subscriptions:"
            " what is open serves, and `presence-svc doctor` says what would fit",
            allowed,
            pool,
        )


def _check_version(version: str) -> None:
    if version and not is_new_enough(version):
        raise Misconfigured(f"PRESENCE_REDIS_URL: Redis {version} is too old: 7.0 at least (any Valkey is)")


def is_new_enough(version: str) -> bool:
    """Valkey says which Redis it is like."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return len(numbers) < 2 or tuple(numbers) >= OLDEST


def check_database(channels: list[str], keys: Keys, db: int) -> None:
    """Channels know no databases: two deployments would hear each other's changes. Raises Misconfigured."""
    others = sorted({channel.rpartition(":")[2] for channel in channels} - {str(db)})
    others = [other for other in others if other.isdigit()]
    if others:
        raise Misconfigured(
            f"PRESENCE_KEY_PREFIX={keys.prefix} is in use in database {others[0]} of this Redis, and ours is"
            f" database {db}: channels know no databases, both would hear each other's changes; set another"
            " PRESENCE_KEY_PREFIX for one of the two"
        )

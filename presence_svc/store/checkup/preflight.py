"""What must be true of a Redis before anybody is served: its version, and that one prefix is in one database.

Called by app and `serve` at start. A check that is forbidden, or gets no answer, does not prevent a start.
"""

from __future__ import annotations

from ...errors import Misconfigured, PresenceError, Unavailable
from ..keys import Keys
from ..redis.link import Link

OLDEST = (7, 0)


async def preflight(link: Link, keys: Keys) -> None:
    """Raises Misconfigured, saying what to do."""
    await link.warm()
    try:
        info, channels = await link.results([("INFO", "server"), ("PUBSUB", "CHANNELS", f"{keys.bus}:*")])
    except Unavailable:
        return
    if not isinstance(info, PresenceError):
        _check_version(info.decode(errors="replace"))
    if not isinstance(channels, PresenceError):
        check_database([channel.decode() for channel in channels], keys, link.db)


def _check_version(info: str) -> None:
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    version = facts.get("redis_version", "")
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

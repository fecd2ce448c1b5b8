"""Checks the permissions that serving needs, one by one, as the user that serves, on scratch keys.

Called by examine for `presence-svc doctor`. Reports those that are missing, and the ACL line that grants all.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from .. import scripts
from ..keys import Keys, Partition

SCRIPTED = frozenset(
    {"publish"} | {name.lower() for name in re.findall(r"try\('([A-Z]+)'", scripts.CHECK.text)}
)
DIRECT = frozenset({"ping", "evalsha", "eval", "getex", "hscan", "zscan", "subscribe", "unsubscribe"})


ON_A_CLUSTER = frozenset({"spublish", "ssubscribe", "sunsubscribe", "cluster|slots", "asking"})


def acl_line(prefix: str, user: str = "presence", *, is_cluster: bool = False) -> str:
    """The ACL rule with the least that serving needs. INFO and PUBSUB would let the start check more."""
    names = SCRIPTED | DIRECT | (ON_A_CLUSTER if is_cluster else frozenset())
    commands = " ".join(f"+{name}" for name in sorted(names))
    return f"ACL SETUSER {user} on >PASSWORD resetkeys ~{prefix}:* resetchannels &{prefix}:* -@all {commands}"


async def missing_rights(
    redis: Redis, keys: Keys, user: str = "", *, partition: Partition | None = None
) -> str:
    """Which permissions are missing, with the rules to set; "" if none."""
    missing = [rule async for rule in _missing(redis, keys, partition or keys.partitions[0])]
    if not missing:
        return ""
    name = user or "default"
    listed = "; ".join(dict.fromkeys(f"{rule} ({why})" for rule, why in missing))
    rules = " ".join(dict.fromkeys(rule for rule, _ in missing))
    needed = acl_line(keys.prefix, name, is_cluster=keys.is_partitioned)
    return f"missing: {listed}; set ACL SETUSER {name} {rules}; all that is needed: {needed}"


async def _missing(redis: Redis, keys: Keys, partition: Partition) -> AsyncIterator[tuple[str, str]]:
    """(rule, why) for each permission that Redis denies."""
    names, channel = keys.check(partition), keys.check_channel(partition)
    hash_, zset, text = names
    script = scripts.CHECK.publishing(sharded=keys.is_partitioned)
    calls: dict[str, tuple[Any, ...]] = {
        "ping": ("PING",),
        "get": ("GET", text),
        "getex": ("GETEX", text, "PX", 1000),
        "zscore": ("ZSCORE", zset, "a"),
        "zcount": ("ZCOUNT", zset, 0, 1),
        "zscan": ("ZSCAN", zset, 0),
        "hgetall": ("HGETALL", hash_),
        "evalsha": ("EVALSHA", script.sha, 3, *names, channel),
    }
    for name, call in calls.items():
        try:
            await redis.execute_command(*call)  # type: ignore[no-untyped-call]
        except NoPermissionError as error:
            yield _rule(name, str(error), keys), str(error)
        except ResponseError:
            continue  # an unknown script: the command itself is allowed
    try:
        reply = await redis.eval(script.text, 3, *names, channel)
    except NoPermissionError as error:
        yield _rule("eval", str(error), keys), str(error)
        reply = []
    for at in range(1, len(reply), 2):
        name, why = (value.decode() if isinstance(value, bytes) else value for value in reply[at : at + 2])
        yield _rule(name.lower(), why, keys), f"in scripts, {name}: {why}"
    async with redis.pubsub() as pubsub:
        for channel in (f"{keys.bus}:check", keys.channel("check")):
            try:
                await pubsub.subscribe(channel)
                await pubsub.get_message(timeout=1)
            except NoPermissionError as error:
                yield _rule("subscribe", str(error), keys), f"SUBSCRIBE: {error}"


def _rule(name: str, why: str, keys: Keys) -> str:
    """The missing ACL rule, from what Redis says it denies: a channel, a key or a command."""
    if "channel" in why:
        return f"&{keys.prefix}:*"
    if "key" in why:
        return f"~{keys.prefix}:*"
    return f"+{name}"

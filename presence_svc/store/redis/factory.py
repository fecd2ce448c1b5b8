"""Makes the link that the settings describe. Called by app, the command line and the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import Misconfigured, PresenceError, Unavailable
from ...settings import Settings
from ...settings.redis import pairs
from ...settings.redis_url import RedisUrl
from ...settings.redis_url import parse as parse_url
from ..keys import Keys
from .cluster.link import ClusterLink
from .cluster.topology import Topology
from .link import Command, Link, ServerLink
from .node import POOL, Node
from .resp import packed_command
from .sentinel import SentinelLink
from .sentinels import Sentinels
from .url import Access, Address, parse

TEN_YEARS_MS = 315_360_000_000  # longer than anything that is stored by partition


def open_link(settings: Settings, *, timeout_s: float | None = None, may_write: bool = True) -> Link:
    """Makes a link, not connected yet: `start` does that. Raises Misconfigured, or Unavailable without a URL.

    `may_write`: if the number of partitions is not stored in the Cluster yet, this process may store its own.
    """
    if settings.redis_url is None:
        raise Unavailable("no Redis is configured: set PRESENCE_REDIS_URL")
    url = parse_url(settings.redis_url.get_secret_value())
    if url is None:
        raise Misconfigured("PRESENCE_REDIS_URL: is not a Redis URL")
    timeout_s = timeout_s or settings.redis_timeout
    keys = Keys.of(settings)
    if url.kind == "server":
        return _server(url, settings, keys, timeout_s)
    reached = {Address(*there): Address(*here) for there, here in pairs(settings.redis_addresses).items()}
    if url.kind == "sentinel":
        return _sentinel(url, settings, keys, timeout_s, reached)
    return _cluster(url, settings, keys, timeout_s, reached, may_write=may_write)


def _server(url: RedisUrl, settings: Settings, keys: Keys, timeout_s: float) -> ServerLink:
    address, access = parse(url.whole, credentials=settings.redis_credentials)
    return ServerLink(_nodes(access, settings, keys, timeout_s)(address), sharded=settings.is_sharded)


def _nodes(access: Access, settings: Settings, keys: Keys, timeout_s: float) -> Callable[[Address], Node]:
    probe = write_probe(keys.partitions[0].agenda)
    return lambda address: Node(address, access, timeout_s=timeout_s, pool=settings.redis_pool, probe=probe)


def _sentinel(
    url: RedisUrl, settings: Settings, keys: Keys, timeout_s: float, reached: Mapping[Address, Address]
) -> SentinelLink:
    _, access = parse(url.server(url.hosts[0]), credentials=settings.redis_credentials)
    _, sentinel_access = parse(url.sentinel(url.hosts[0]))
    hosts = [Address(*host) for host in url.hosts]
    sentinels = Sentinels(hosts, sentinel_access, url.service, reached)
    return SentinelLink(sentinels, _nodes(access, settings, keys, timeout_s), sharded=settings.is_sharded)


def _cluster(
    url: RedisUrl,
    settings: Settings,
    keys: Keys,
    timeout_s: float,
    reached: Mapping[Address, Address],
    *,
    may_write: bool,
) -> ClusterLink:
    _, access = parse(url.server(url.hosts[0]), credentials=settings.redis_credentials)
    topology = Topology(
        [Address(*host) for host in url.hosts],
        access,
        _nodes(access, settings, keys, timeout_s),
        reached=reached,
        timeout_s=timeout_s,
    )
    probes = {partition.slot: write_probe(partition.agenda) for partition in keys.partitions}
    link = ClusterLink(topology, access, timeout_s=timeout_s, sharded=settings.is_sharded, probes=probes)

    async def agree(link: ClusterLink) -> None:
        """All replicas must use the same number of partitions. Raises Misconfigured, Unavailable."""
        ours = len(keys.partitions)
        commands: list[Command] = [("GET", keys.agreed)]
        if may_write:
            commands.insert(0, ("SET", keys.agreed, str(ours), "NX", "PX", str(TEN_YEARS_MS)))
        stored: Any = (await link.router.send(commands))[-1]
        if isinstance(stored, PresenceError):
            raise stored
        if stored is not None and int(stored) != ours:
            raise Misconfigured(
                f"PRESENCE_PARTITIONS: is {ours}, and this Cluster holds {int(stored)} partitions (key"
                f" {keys.agreed}): set {int(stored)}, or delete that key once nobody uses the old ones"
            )

    link.agree = agree
    return link


def link_to(url: str, *, timeout_s: float, pool: int = POOL, key_prefix: str = "presence") -> ServerLink:
    """A link to the single server of this URL. Raises Misconfigured."""
    address, access = parse(url)
    probe = write_probe(Keys(key_prefix).partitions[0].agenda)
    return ServerLink(Node(address, access, timeout_s=timeout_s, pool=pool, probe=probe))


def write_probe(key: str) -> bytes:
    """A command that changes nothing and that a server refuses if it refuses writes.

    `key` must be a sorted set, or not exist.
    """
    return packed_command("ZADD", key, "XX", 0, "")

"""Makes the link that the settings ask for. Called by app, by the command line and by the client."""

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

TEN_YEARS_MS = 315_360_000_000  # longer than anything that is kept by these partitions


def open_link(settings: Settings, *, timeout_s: float | None = None, may_write: bool = True) -> Link:
    """Nothing is connected yet; `start` does that. Raises Misconfigured for what cannot be meant.

    `may_write`: the first of all fixes the number of partitions.
    """
    if settings.redis_url is None:
        raise Unavailable("no Redis is named: set PRESENCE_REDIS_URL")
    url = parse_url(settings.redis_url.get_secret_value())
    if url is None:
        raise Misconfigured("PRESENCE_REDIS_URL: cannot be read")
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
        """All replicas must look for a course in the same partition. Raises Misconfigured, Unavailable."""
        ours = len(keys.partitions)
        commands: list[Command] = [("GET", keys.agreed)]
        if may_write:
            commands.insert(0, ("SET", keys.agreed, str(ours), "NX", "PX", str(TEN_YEARS_MS)))
        said: Any = (await link.router.send(commands))[-1]
        if isinstance(said, PresenceError):
            raise said
        if said is not None and int(said) != ours:
            raise Misconfigured(
                f"PRESENCE_PARTITIONS: is {ours}, and this Cluster holds {int(said)} partitions (key"
                f" {keys.agreed}): set {int(said)}, or delete that key when nobody uses the old ones any more"
            )

    link.agree = agree
    return link


def link_to(url: str, *, timeout_s: float, pool: int = POOL, key_prefix: str = "presence") -> ServerLink:
    """A link to the one server of this URL. Raises Misconfigured."""
    address, access = parse(url)
    probe = write_probe(Keys(key_prefix).partitions[0].agenda)
    return ServerLink(Node(address, access, timeout_s=timeout_s, pool=pool, probe=probe))


def write_probe(key: str) -> bytes:
    """Changes nothing; a server that takes no writes refuses it. `key` holds a sorted set, or nothing."""
    return packed_command("ZADD", key, "XX", 0, "")

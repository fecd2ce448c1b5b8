"""Checks a Cluster: slots without an owner, an uneven distribution of partitions, and each master by itself.

Called by `presence-svc doctor`. Changes nothing; every master is checked over its own connection.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ....errors import Unavailable
from ...checkup.examine import examine
from ...checkup.finding import Finding
from ...keys import Keys
from .link import ClusterLink

COVERAGE = "cluster-require-full-coverage"
UNEVEN = 1.5  # a master with more than this many times its share of the partitions is overloaded first


async def examine_cluster(
    link: ClusterLink, keys: Keys, *, pool: int, keeps_history: bool = False
) -> list[Finding]:
    """All findings about a Cluster. Raises Unavailable when no node answers, Misconfigured."""
    await link.start()
    findings = [_topology(link), _spread(link, keys)]
    for node in link.topology.masters:
        owners = link.topology.table.owner
        mine = next((p for p in keys.partitions if owners[p.slot] == node.address), None)
        if mine is None:
            findings.append(Finding(True, f"courses of {node.address}", "none: it has no partition"))
            continue
        client, user = (
            node.access.client(node.address, timeout_s=node.timeout_s, pool=2),
            node.access.username,
        )
        try:
            found = await examine(
                client, keys, pool=pool, user=user, partition=mine, keeps_history=keeps_history
            )
            found += await _coverage(client)
        except Unavailable as error:
            found = [Finding(False, "reachable", error.detail)]
        finally:
            await client.aclose()
        findings += [finding._replace(what=f"{finding.what} of {node.address}") for finding in found]
    return findings


async def _coverage(client: Redis) -> list[Finding]:
    """Whether one missing master stops the whole Cluster. Managed services do not tell."""
    try:
        found: dict[Any, Any] = await client.config_get(COVERAGE)
    except RedisError:
        return []
    if found.get(COVERAGE, found.get(COVERAGE.encode())) not in ("yes", b"yes"):
        return [Finding(True, "coverage", "a missing master leaves the others serving")]
    return [
        Finding(
            False,
            "coverage",
            f"{COVERAGE} is yes: while one master is away, all courses are refused; set it to no",
        )
    ]


def _topology(link: ClusterLink) -> Finding:
    table = link.topology.table
    shown = f"{len(table.masters)} masters, {len(table.replicas)} replicas"
    if table.unowned:
        return Finding(False, "topology", f"{shown}; {table.unowned:,} of 16,384 slots have no owner")
    if not table.replicas and len(table.masters) > 1:
        return Finding(True, "topology", f"{shown}: while a master is down, its courses are unavailable")
    return Finding(True, "topology", shown)


def _spread(link: ClusterLink, keys: Keys) -> Finding:
    """How many partitions each master has, largest first."""
    owners = Counter(link.topology.table.owner[partition.slot] for partition in keys.partitions)
    masters = len(link.topology.table.masters)
    many = [owners[address] for address in link.topology.table.masters]
    shown = " / ".join(map(str, sorted(many, reverse=True)))
    detail = f"{len(keys.partitions)} partitions on {masters} masters: {shown}"
    if masters and max(many) > UNEVEN * len(keys.partitions) / masters:
        return Finding(False, "partitions", f"{detail}; move slots to balance them")
    return Finding(True, "partitions", detail)

"""`presence-svc doctor`: checks settings, the issuer's keys, Redis and its data; status 1 if one fails."""

from __future__ import annotations

import asyncio
import json
from typing import cast

from rich.console import Console

from ..errors import Misconfigured, Unavailable
from ..settings import Settings, load
from ..store.checkup.examine import examine
from ..store.checkup.finding import Finding
from ..store.keys import Keys
from ..store.redis.cluster.checkup import examine_cluster
from ..store.redis.cluster.link import ClusterLink
from ..store.redis.embedded import bundled_binary
from ..store.redis.factory import open_link
from ..store.redis.link import ServerLink
from ..store.redis.sentinel import SentinelLink
from . import token as tokens
from .serve import check_exposure

TIMEOUT_S = 2.0
CONNECTIONS = 2


def run(token: str | None = None, *, as_json: bool = False) -> int:
    """Prints the findings, also those about a token if one is given. Returns 0 if all is well, else 1."""
    findings = _findings(token)
    is_well = all(finding.fine for finding in findings)
    if as_json:
        print(json.dumps({"well": is_well, "findings": [finding._asdict() for finding in findings]}))
        return 0 if is_well else 1
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        mark = "[yellow]warn [/]" if finding.warns else "[green]ok   [/]" if finding.fine else "[red]wrong[/]"
        console.print(f"{mark} {finding.what}: ", end="")
        console.print(finding.detail, markup=False)
    return 0 if is_well else 1


def _findings(token: str | None) -> list[Finding]:
    try:
        settings = load()
        check_exposure(settings)
    except Misconfigured as error:
        return [Finding(False, "settings", line) for line in error.detail.splitlines()]
    return [Finding(True, "settings", "valid"), *tokens.examine(settings, token), *_redis(settings)]


def _redis(settings: Settings) -> list[Finding]:
    if settings.redis_url is None:
        try:
            return [Finding(True, "redis", f"no URL is set: the embedded server, {bundled_binary()}")]
        except Misconfigured as error:
            return [Finding(False, "redis", error.detail)]
    try:
        return asyncio.run(_examine(settings))
    except Misconfigured as error:
        return [Finding(False, "settings", error.detail)]
    except Unavailable as error:
        return [Finding(False, "reachable", error.detail)]


async def _examine(settings: Settings) -> list[Finding]:
    link, keys = open_link(settings, timeout_s=TIMEOUT_S, may_write=False), Keys.of(settings)
    try:
        pool, keeps = settings.redis_pool, settings.history
        if isinstance(link, ClusterLink):
            return await examine_cluster(link, keys, pool=pool, keeps_history=keeps)
        if isinstance(link, SentinelLink):
            await link.start()
        link = cast(ServerLink, link)
        client, access = link.node.client, link.node.access
        found = await examine(
            client, keys, db=access.db, pool=pool, user=access.username, keeps_history=keeps
        )
        await link.start()  # raises if it is a node of a Cluster
        if isinstance(link, SentinelLink):
            found.insert(0, Finding(True, "sentinels", f"the master is {link.node.address}"))
        return found
    finally:
        await link.close()

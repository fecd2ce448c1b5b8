"""Makes the link that the settings ask for. Called by app, by the command line and by the client."""

from __future__ import annotations

from ...errors import Unavailable
from ...settings import Settings
from ..keys import Keys
from .link import Link, ServerLink
from .node import POOL, Node
from .resp import packed_command
from .url import parse


def open_link(settings: Settings) -> Link:
    """Nothing is connected yet. Raises Misconfigured for a URL that cannot be meant."""
    if settings.redis_url is None:
        raise Unavailable("no Redis is named: set PRESENCE_REDIS_URL")
    return link_to(
        settings.redis_url.get_secret_value(),
        timeout_s=settings.redis_timeout,
        pool=settings.redis_pool,
        key_prefix=settings.key_prefix,
    )


def link_to(url: str, *, timeout_s: float, pool: int = POOL, key_prefix: str = "presence") -> ServerLink:
    """A link to the one server of this URL. Raises Misconfigured."""
    address, access = parse(url)
    probe = write_probe(Keys(key_prefix).agenda)
    return ServerLink(Node(address, access, timeout_s=timeout_s, pool=pool, probe=probe))


def write_probe(key: str) -> bytes:
    """Changes nothing; a server that takes no writes refuses it. `key` holds a sorted set, or nothing."""
    return packed_command("ZADD", key, "XX", 0, "")

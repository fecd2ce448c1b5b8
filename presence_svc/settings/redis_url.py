"""Parses REDIS_URL: a single server, some nodes of a Cluster, or Sentinels that know the master.

Used by settings, which refuses what cannot be read, and by store.redis, which connects to it.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

HOST = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
SERVICE = re.compile(r"/(?P<service>[^/?#]+)(/(?P<db>[0-9]+)?)?")
PORT, SENTINEL_PORT, LAST_PORT = 6379, 26379, 65_535
NO = {"0", "false", "no", "off"}
OF_SENTINEL = "sentinel_"

Kind = Literal["server", "cluster", "sentinel"]
Host = tuple[str, int]


class RedisUrl(NamedTuple):
    """What REDIS_URL points to. `login` is `user:password@` as it was written, or empty; see `server`."""

    kind: Kind
    whole: str
    tls: bool = False
    login: str = ""
    hosts: tuple[Host, ...] = ()
    service: str = ""
    db: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def server(self, host: Host) -> str:
        """The URL of one server that holds data."""
        options = [(name, value) for name, value in self.options if not name.startswith(OF_SENTINEL)]
        return _url(self.tls, self.login, host, self.db, options)

    def sentinel(self, host: Host) -> str:
        """The URL of one Sentinel: options that begin with sentinel_ are its own, and so is its login."""
        own = {
            name[len(OF_SENTINEL) :]: value for name, value in self.options if name.startswith(OF_SENTINEL)
        }
        tls = own.pop("tls", "yes" if self.tls else "no").lower() not in NO
        shared = {name: value for name, value in self.options if tls and name.startswith("ssl_")}
        return _url(tls, "", host, "", list((shared | own).items()))


def _url(tls: bool, login: str, host: Host, db: str, options: list[tuple[str, str]]) -> str:
    name = f"[{host[0]}]" if ":" in host[0] else host[0]
    query = f"?{urlencode(options)}" if options else ""
    return f"{'rediss' if tls else 'redis'}://{login}{name}:{host[1]}/{db or 0}{query}"


def parse(url: str) -> RedisUrl | None:
    """None for what cannot be read, or would be read differently from how it was meant."""
    try:
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        if kind == "":
            _ = parts.port  # raises for what is no number
            return RedisUrl("server", url) if _is_server(parts) else None
    except ValueError:
        return None
    if scheme not in ("redis", "rediss") or kind not in ("cluster", "sentinel") or parts.fragment:
        return None
    return _many(parts, kind, url)  # type: ignore[arg-type]


def _is_server(parts: SplitResult) -> bool:
    """Whether redis-py reads it as it was meant: an unescaped / or # in a password ends the host."""
    if parts.scheme == "unix":
        return bool(parts.path)
    is_whole = re.fullmatch(r"/?[0-9]*", parts.path) and "@" not in parts.query + parts.fragment
    return parts.scheme in ("redis", "rediss") and bool(is_whole)


def _many(parts: SplitResult, kind: Kind, url: str) -> RedisUrl | None:
    login, at, named = parts.netloc.rpartition("@")
    hosts = _hosts(named, SENTINEL_PORT if kind == "sentinel" else PORT)
    service, db = "", ""
    if kind == "cluster":
        is_whole = parts.path in ("", "/", "/0")
    elif found := SERVICE.fullmatch(parts.path):
        service, db, is_whole = unquote(found["service"]), found["db"] or "", True
    else:
        is_whole = False
    if not hosts or not is_whole or "@" in parts.query:
        return None
    options = tuple(parse_qsl(parts.query, keep_blank_values=True))
    return RedisUrl(kind, url, parts.scheme.startswith("rediss"), login + at, hosts, service, db, options)


def _hosts(named: str, port: int) -> tuple[Host, ...]:
    """In the order given, each once; none when one of them cannot be read."""
    hosts: dict[Host, None] = {}
    for part in named.split(","):
        found = HOST.fullmatch(part)
        if not found or not 0 < int(found["port"] or port) <= LAST_PORT:
            return ()
        hosts[found["host"].strip("[]"), int(found["port"] or port)] = None
    return tuple(hosts)

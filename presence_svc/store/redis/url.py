"""Parses a Redis URL: the server's address, the credentials and the TLS options.

Used by factory, node and commands. Every URL option of redis-py is allowed here or refused by name, because
most would silently change how replies are read. Raises Misconfigured, never with a secret in the text.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from ...errors import Misconfigured
from .credentials import load_provider

PORT = 6379
ACCESS_OPTIONS = frozenset({"db", "username", "password", "client_name"})
TLS_OPTIONS = frozenset(
    "ssl_" + name
    for name in [
        "keyfile",
        "certfile",
        "cert_reqs",
        "include_verify_flags",
        "exclude_verify_flags",
        "ca_certs",
        "ca_data",
        "ca_path",
        "check_hostname",
        "min_version",
        "ciphers",
        "password",
    ]
)
OURS = "the service sets that itself: leave it out"
REFUSED = {
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout", "timeout"), "set PRESENCE_REDIS_TIMEOUT"),
    "max_connections": "set PRESENCE_REDIS_POOL",
    **dict.fromkeys(("host", "port", "path"), "write it before the ?"),
    **dict.fromkeys(
        [
            *("decode_responses", "encoding", "encoding_errors", "encoder_class", "parser_class"),
            *("protocol", "legacy_responses", "socket_read_size", "socket_type"),
            *("socket_keepalive", "socket_keepalive_options", "health_check_interval"),
            *("retry", "retry_on_timeout", "retry_on_error"),
            "redis_connect_func",
            "credential_provider",
            "connection_class",
            "connection_pool",
            "queue_class",
            "single_connection_client",
            "auto_close_connection_pool",
            "ssl",
            *("lib_name", "lib_version", "driver_info"),
            "event_dispatcher",
            "command_packer",
            "unix_socket_path",
            "maint_notifications_config",
            "maint_notifications_pool_handler",
            "maintenance_state",
            "maintenance_notification_hash",
            "orig_host_address",
            "orig_socket_timeout",
            "orig_socket_connect_timeout",
            "oss_cluster_maint_notifications_handler",
            "himport_registry",
        ],
        OURS,
    ),
}


@dataclass(frozen=True)
class Address:
    """Where one server listens: a host and a port, or the path of a unix socket."""

    host: str = "localhost"
    port: int = PORT
    path: str = ""

    async def hosts(self) -> list[str]:
        """The addresses that the name resolves to, in a fixed order within each family: resolvers shuffle."""
        if ":" in self.host or self.host.rpartition(".")[2].isdigit():
            return [self.host]
        found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        families = [family for family, *_ in found]
        found.sort(key=lambda one: (families.index(one[0]), one[4]))
        return list(dict.fromkeys(str(one[4][0]) for one in found))

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


@dataclass(frozen=True)
class Access:
    """How to log in to a server; the same for all servers of a deployment."""

    username: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    client_name: str = ""
    tls: dict[str, Any] | None = field(default=None, repr=False)  # redis-py's ssl_* options; None = no TLS
    provider: CredentialProvider | None = field(default=None, repr=False)  # instead of username and password

    async def login(self) -> tuple[str, ...]:
        """The arguments of AUTH: user and password, a password, or none. Raises what a provider raises."""
        if self.provider is not None:
            return tuple(await self.provider.get_credentials_async())
        return (*filter(None, (self.username,)), self.password) if self.username or self.password else ()

    def context(self) -> ssl.SSLContext | None:
        """A new TLS context; None without TLS. Raises Misconfigured for files that cannot be read."""
        if self.tls is None:
            return None
        try:
            return SSLConnection(**self.tls).ssl_context.get()
        except (ValueError, TypeError, OSError, ssl.SSLError) as error:
            raise Misconfigured(f"PRESENCE_REDIS_URL: its TLS options are wrong: {error}") from None

    def client(self, address: Address, *, timeout_s: float, pool: int) -> Redis:
        """redis-py's client with deadlines and without retries, for subscriptions and the command line."""
        options: dict[str, Any] = {"host": address.host, "port": address.port, "connection_class": Connection}
        if address.path:
            options = {"path": address.path, "connection_class": UnixDomainSocketConnection}
        elif self.tls is not None:
            options |= {**self.tls, "connection_class": SSLConnection}
        connections = BlockingConnectionPool(
            **options,
            db=self.db,
            username=None if self.provider else self.username or None,
            password=None if self.provider else self.password or None,
            credential_provider=self.provider,
            client_name=self.client_name or None,
            max_connections=pool,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        return Redis.from_pool(connections)


def parse(url: str, *, credentials: str | None = None) -> tuple[Address, Access]:
    """Parses the URL of one server; `credentials` names a credential provider. Raises Misconfigured."""
    check_options(url)
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise Misconfigured(f"PRESENCE_REDIS_URL: {error}") from None
    address = Address(options.get("host", "localhost"), options.get("port", PORT), options.get("path", ""))
    access = access_of(options, tls=urlsplit(url).scheme.startswith("rediss"))
    return address, replace(access, provider=load_provider(credentials)) if credentials else access


def access_of(options: dict[str, Any], *, tls: bool) -> Access:
    """Takes the access from what redis-py has parsed from a URL. Raises Misconfigured."""
    access = Access(
        username=options.get("username", ""),
        password=options.get("password", ""),
        db=options.get("db", 0),
        client_name=options.get("client_name", ""),
        tls={name: options[name] for name in TLS_OPTIONS & options.keys()} if tls else None,
    )
    access.context()
    return access


def check_options(url: str) -> None:
    """Raises Misconfigured for an option that is not allowed, and names it.

    An unknown one is not shown: it may be part of a password that contains a "?".
    """
    parts = urlsplit(url)
    allowed = ACCESS_OPTIONS | (TLS_OPTIONS if parts.scheme.startswith("rediss") else frozenset())
    wrong = [name for name in parse_qs(parts.query, keep_blank_values=True) if name not in allowed]
    for name in wrong[:1]:
        if name in TLS_OPTIONS:
            problem = f"option {name} after the ?: only with rediss://"
        elif name in REFUSED:
            problem = f"option {name} after the ?: {REFUSED[name]}"
        else:
            problem = f"an option after the ? is not one of {', '.join(sorted(allowed))}"
        raise Misconfigured(f"PRESENCE_REDIS_URL: {problem}")


def connect(url: str, *, timeout_s: float = 0.3, pool: int = 16) -> Redis:
    """redis-py's client for the server of this URL. Raises Misconfigured."""
    address, access = parse(url)
    return access.client(address, timeout_s=timeout_s, pool=pool)

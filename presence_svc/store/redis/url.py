"""What a Redis URL says: the server's address, and with which rights and over which TLS we enter.

Used by factory, node and commands. Every option that redis-py takes from a URL is allowed here or refused
by name: most of them would change, unseen, what we read. Raises Misconfigured, never with a secret in it.
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
OURS = "the service decides that itself: leave it out"
REFUSED = {
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout", "timeout"), "set PRESENCE_REDIS_TIMEOUT"),
    "max_connections": "set PRESENCE_REDIS_POOL",
    **dict.fromkeys(("host", "port", "path"), "write it in front of the ?"),
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
        """What the name stands for, always in one order within each family, though resolvers shuffle."""
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
    """How to enter a server once it is found; the same for all servers of a deployment."""

    username: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    client_name: str = ""
    tls: dict[str, Any] | None = field(default=None, repr=False)  # redis-py's ssl_* options; None = no TLS
    provider: CredentialProvider | None = field(default=None, repr=False)  # in place of username and password

    async def login(self) -> tuple[str, ...]:
        """What AUTH is told: user and password, a password, or nothing. Raises what a provider raises."""
        if self.provider is not None:
            return tuple(await self.provider.get_credentials_async())
        return (*filter(None, (self.username,)), self.password) if self.username or self.password else ()

    def context(self) -> ssl.SSLContext | None:
        """The TLS context, made anew. Raises Misconfigured for files that cannot be read."""
        if self.tls is None:
            return None
        try:
            return SSLConnection(**self.tls).ssl_context.get()
        except (ValueError, TypeError, OSError, ssl.SSLError) as error:
            raise Misconfigured(f"PRESENCE_REDIS_URL: its TLS options are wrong: {error}") from None

    def client(self, address: Address, *, timeout_s: float, pool: int) -> Redis:
        """redis-py's client, with deadlines and without retries: for subscriptions and the command line."""
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
    """One server and the way into it, by the provider that `credentials` names. Raises Misconfigured."""
    check_options(url)
    try:
        said: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise Misconfigured(f"PRESENCE_REDIS_URL: {error}") from None
    address = Address(said.get("host", "localhost"), said.get("port", PORT), said.get("path", ""))
    access = access_of(said, tls=urlsplit(url).scheme.startswith("rediss"))
    return address, replace(access, provider=load_provider(credentials)) if credentials else access


def access_of(said: dict[str, Any], *, tls: bool) -> Access:
    """The access in what redis-py has read from a URL. Raises Misconfigured."""
    access = Access(
        username=said.get("username", ""),
        password=said.get("password", ""),
        db=said.get("db", 0),
        client_name=said.get("client_name", ""),
        tls={name: said[name] for name in TLS_OPTIONS & said.keys()} if tls else None,
    )
    access.context()
    return access


def check_options(url: str) -> None:
    """Raises Misconfigured for an option that we do not take, by its name.

    One that nobody knows may be a piece of a password with a ? in it: it is not shown.
    """
    parts = urlsplit(url)
    allowed = ACCESS_OPTIONS | (TLS_OPTIONS if parts.scheme.startswith("rediss") else frozenset())
    wrong = [name for name in parse_qs(parts.query, keep_blank_values=True) if name not in allowed]
    for name in wrong[:1]:
        if name in TLS_OPTIONS:
            problem = f"option {name} behind its ?: only with rediss://"
        elif name in REFUSED:
            problem = f"option {name} behind its ?: {REFUSED[name]}"
        else:
            problem = f"an option behind its ? is not one of {', '.join(sorted(allowed))}"
        raise Misconfigured(f"PRESENCE_REDIS_URL: {problem}")


def connect(url: str, *, timeout_s: float = 0.3, pool: int = 16) -> Redis:
    """redis-py's client for the server of this URL. Raises Misconfigured."""
    address, access = parse(url)
    return access.client(address, timeout_s=timeout_s, pool=pool)

"""The settings of Redis: its URL and credentials, and how courses are spread over a Cluster.

A part of Settings. Refuses a number of partitions that is no power of two: slot ranges would differ in size.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from .redis_url import Kind, parse

MOST_PARTITIONS = 4_096


class RedisSettings(BaseSettings):
    """Mixed into Settings, which carries the environment's prefix."""

    redis_url: SecretStr | None = Field(
        None,
        description="`redis://`, `rediss://` or `unix://`; `redis+cluster://`, `redis+sentinel://`, or either"
        " with `rediss`; not set = an embedded server",
    )
    redis_credentials: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*[.:][A-Za-z_][A-Za-z0-9_]*$",
        description="dotted path of a redis-py `CredentialProvider` (a class, an instance, or a function that"
        " returns one), for passwords that change",
    )
    redis_addresses: str = Field(
        "",
        description="addresses that a Cluster or Sentinels announce, and those at which the service reaches"
        " them: `10.0.0.5:6379=db1.example:7001,...`",
    )
    partitions: Annotated[int, Field(ge=1, le=MOST_PARTITIONS)] = Field(
        256,
        description="parts into which a Cluster's courses are divided, a power of two; fixed by the first"
        " replica",
    )
    pubsub: Literal["auto", "sharded", "global"] = Field(
        "auto",
        description="how changes are published: `auto` = `sharded` on a Cluster, `global` elsewhere",
    )

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        """The message is fixed: what cannot be read may be any part of a password."""
        if value is not None and parse(value.get_secret_value()) is None:
            raise ValueError(
                "must be redis://user:password@host:6379/0, the same with rediss://, or unix:///path;"
                " redis+cluster://user:password@host:6379,host:6379 for a Cluster (it has no databases);"
                " redis+sentinel://user:password@sentinel:26379,sentinel:26379/master/0;"
                " special characters in a password are percent-encoded (%XX)"
            )
        return value

    @field_validator("partitions")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two, such as 256")
        return value

    @field_validator("redis_addresses")
    @classmethod
    def _addresses(cls, value: str) -> str:
        pairs(value)
        return value

    @property
    def redis_kind(self) -> Kind:
        """What REDIS_URL points to; an embedded server is a single server."""
        found = parse(self.redis_url.get_secret_value()) if self.redis_url else None
        return found.kind if found else "server"

    @property
    def is_sharded(self) -> bool:
        """Whether changes are published only on the course's own master."""
        if self.pubsub == "auto":
            return self.redis_kind == "cluster"
        return self.pubsub == "sharded"


def pairs(addresses: str) -> dict[tuple[str, int], tuple[str, int]]:
    """Announced address to reachable address. Raises ValueError for what is not host:port=host:port,..."""
    found = {}
    for pair in filter(None, (part.strip() for part in addresses.split(","))):
        announced, equals, reached = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair} is not host:port=host:port")
        found[_address(announced)] = _address(reached)
    return found


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text} is not host:port")
    return host.strip("[]"), int(port)

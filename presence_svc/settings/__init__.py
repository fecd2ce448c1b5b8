"""Every setting, read once from the environment (prefix `PRESENCE_`) and checked against the others.

Loaded by the command line and by tests and passed down as an argument; nothing else reads the environment.
Refuses misspelt names and values that contradict each other, in messages that name the variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from ..errors import Misconfigured
from .addresses import is_network
from .environment import ENV_PREFIX as ENV_PREFIX
from .environment import EnvironmentSettings
from .history import HistorySettings
from .identity import IdentitySettings
from .kinds import NONE, Rule, Seconds
from .limits import LimitSettings
from .names import ignored, misspelt, quoted
from .pages import PageSettings
from .redis import RedisSettings
from .tracing import TracingSettings

ASKED_SHARE = 0.8  # of HEARTBEAT_INTERVAL: the shortest time that a reply asks for


class Settings(
    EnvironmentSettings,
    IdentitySettings,
    LimitSettings,
    RedisSettings,
    PageSettings,
    HistorySettings,
    TracingSettings,
):
    """Durations are in seconds, fractions allowed; `*_ms` properties give whole milliseconds."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,  # ${VAR:-} in a compose file: an empty variable is not set
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    key_prefix: str = Field(
        "presence", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="prefix of every Redis key and channel"
    )
    ttl: Seconds = Field(60, description="how long a heartbeat keeps its session present: its lease")
    hidden_ttl: Seconds = Field(150, description="the lease of a heartbeat from a hidden tab")
    heartbeat_interval: Seconds = Field(
        30,
        description="longest time between two heartbeats of a session; clients are asked for 10 to 20 % less",
    )
    leave_grace: Seconds = Field(3, description="how long a session stays present after a soft leave")
    sweep_interval: Seconds = Field(1, description="longest time between two sweeps")
    publish_interval: Seconds = Field(0.25, description="shortest time between two messages about a course")
    host: str = Field(
        "127.0.0.1",
        description="addresses to listen on, separated by commas; `*`, `::` and `localhost`: IPv4 and IPv6",
    )
    port: int = Field(8000, ge=0, le=65_535, description="port to listen on; 0 = any free port")
    workers: int = Field(1, ge=1, le=64, description="worker processes, which share the port")
    trusted_proxies: str = Field(
        "127.0.0.1,::1",
        description="addresses and networks whose X-Forwarded-For is trusted, separated by commas; `*` = all,"
        " or `none`",
    )
    redis_timeout: Annotated[float, Field(gt=0, le=0.45)] = Field(
        0.3, description="deadline of one exchange with Redis; requests are answered within 0.5 s"
    )
    redis_pool: int = Field(
        16,
        ge=2,
        le=1000,
        description="connections per worker to each Redis server that holds data, plus one for subscriptions",
    )
    fast_path: bool = Field(
        True,
        description="answer heartbeats straight from the HTTP parser (off with ACCESS_LOG or OTEL)",
    )
    access_log: Annotated[float, Field(ge=0, le=1)] = Field(
        0, description="share of requests that are logged, 0 to 1"
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: str) -> str:
        if value == NONE:
            return ""
        for proxy in filter(None, (part.strip() for part in value.split(","))):
            if not is_network(proxy):
                raise ValueError(f"{proxy} is not an address, a network such as 10.0.0.0/8, or *")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        """A lost heartbeat must not drop a viewer, and a hidden tab must not come and go."""
        rules = [
            Rule(
                self.heartbeat_interval * 0.9 * 2 <= self.ttl,
                "HEARTBEAT_INTERVAL",
                "1.8 times this must not exceed PRESENCE_TTL, else one lost heartbeat drops a viewer",
            ),
            Rule(self.hidden_ttl >= self.ttl, "HIDDEN_TTL", "must not be less than PRESENCE_TTL"),
            Rule(self.leave_grace < self.ttl, "LEAVE_GRACE", "must be less than PRESENCE_TTL"),
            Rule(self.publish_interval <= 2, "PUBLISH_INTERVAL", "must not exceed 2 s (rule S8)"),
            Rule(
                self.beats_per_s * self.asked_s >= 1,
                "BEAT_RATE",
                "must allow what the service asks for: one heartbeat per 0.8 PRESENCE_HEARTBEAT_INTERVAL",
            ),
            *self.history_rules(),
            Rule(bool(self.hosts), "HOST", "contains no address"),
            *self.identity_rules(),
        ]
        wrong = [f"{ENV_PREFIX}{rule.name}: {rule.why}" for rule in rules if not rule.holds]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def beats_per_s(self) -> float:
        """Heartbeats per second that a session may send in the long run: always more than it is asked for."""
        return self.beat_rate or max(1.0, 2 / self.asked_s)

    @property
    def asked_s(self) -> float:
        """The shortest time after which a session is asked for its next heartbeat."""
        return ASKED_SHARE * self.heartbeat_interval

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(part.strip().strip("[]") for part in self.host.split(",") if part.strip())

    @property
    def ttl_ms(self) -> int:
        return round(self.ttl * 1000)

    @property
    def hidden_ttl_ms(self) -> int:
        return round(self.hidden_ttl * 1000)

    @property
    def leave_grace_ms(self) -> int:
        return round(self.leave_grace * 1000)

    @property
    def publish_interval_ms(self) -> int:
        return round(self.publish_interval * 1000)


def load(**overrides: object) -> Settings:
    """Settings from the environment. Raises Misconfigured, a line for each variable that is wrong."""
    fields = Settings.model_fields
    return _load([*misspelt(ENV_PREFIX, fields), *quoted(ENV_PREFIX, fields)], overrides)


def ignored_names() -> list[str]:
    """Variables with our prefix that are no settings: those of Kubernetes, and names unlike any setting."""
    return ignored(ENV_PREFIX, Settings.model_fields)


def load_beside_others(**overrides: object) -> Settings:
    """The same within another program, whose own variables may have our prefix. Settings of identity are left
    at their defaults. Raises Misconfigured."""
    fields = IdentitySettings.model_fields.items()
    unsaid = {name: field.default for name, field in fields if field.default_factory is None}
    return _load([], unsaid | overrides)


def _load(wrong: list[str], overrides: dict[str, object]) -> Settings:
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong += _lines(error)
    if wrong:
        raise Misconfigured("\n".join(wrong))
    return settings


def _lines(error: ValidationError) -> Iterator[str]:
    """A line for each error, with the variable's name and never with its value."""
    for fault in error.errors():
        if (
            fault["type"] == "default_factory_not_called"
        ):  # its default depends on another field, which is wrong
            continue
        name = ENV_PREFIX + ".".join(str(part) for part in fault["loc"]).upper() if fault["loc"] else ""
        reason = fault["msg"].removeprefix("Value error, ")
        yield f"{name}: {reason}" if name else reason

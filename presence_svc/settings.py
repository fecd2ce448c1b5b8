"""Every setting, read once from the environment (prefix `PRESENCE_`) and checked against the others.

Built by the command line and by tests, passed down as an argument; nothing else reads the environment.
Refuses values that contradict each other, in messages that name the variable.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import Misconfigured

ENV_PREFIX = "PRESENCE_"
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=10_000_000)]
CommaSeparated = Annotated[tuple[str, ...], NoDecode]
SecretsCommaSeparated = Annotated[tuple[SecretStr, ...], NoDecode]


class Settings(BaseSettings):
    """Durations are in seconds, fractions allowed; `*_ms` properties give whole milliseconds."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    redis_url: SecretStr | None = Field(
        None, description="`redis://`, `rediss://` or `unix://`; none = an embedded server"
    )
    key_prefix: str = Field(
        "presence", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="first word of every Redis key"
    )
    ttl: Seconds = Field(60, description="lease of a heartbeat")
    hidden_ttl: Seconds = Field(150, description="lease of a heartbeat from a hidden tab")
    heartbeat_interval: Seconds = Field(30, description="how often a player should beat, at most")
    leave_grace: Seconds = Field(3, description="what a soft leave leaves of the lease")
    sweep_interval: Seconds = Field(1, description="longest pause between two looks at the agenda")
    publish_interval: Seconds = Field(0.25, description="shortest pause between a course's messages")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65_535, description="port to listen on; 0 = a free one")
    workers: int = Field(1, ge=1, le=64, description="processes that share the port")
    auth: Literal["trusted", "jwt"] | None = Field(
        None, description="`trusted`: the body's viewer_id is believed; `jwt`: a bearer token says it"
    )
    service_keys: SecretsCommaSeparated = Field((), description="API keys of the service role")
    cors_origins: CommaSeparated = Field(
        ("*",), description="origins whose pages may call (`*` = any; credentials are never used)"
    )
    public_counts: bool = Field(False, description="counts without a token (AUTH=jwt)")
    trusted_proxies: str = Field("127.0.0.1,::1", description="addresses whose X-Forwarded-For is believed")
    sessions_per_viewer: Limit = Field(10, description="live sessions of one viewer in one course")
    chapters_per_course: Annotated[int, Field(ge=1, le=2_000)] = Field(
        500, description="chapters with somebody in them, per course"
    )
    queue_limit: Limit = Field(20_000, description="heartbeats waiting for Redis before 503, per worker")
    streams_limit: Limit = Field(20_000, description="open streams per worker")
    stream_lifetime: Seconds = Field(1_800, description="a stream ends after this, more or less")
    send_deadline: Seconds = Field(10, description="a reader that takes no byte for this is dropped")
    request_deadline: Seconds = Field(10, description="time for a request's head, and again for its body")
    header_limit: Annotated[int, Field(ge=1_024, le=65_536)] = Field(
        16_384, description="bytes of a request's head before 431"
    )
    redis_timeout: Annotated[float, Field(gt=0, le=0.45)] = Field(
        0.3, description="deadline of one exchange with Redis; requests are answered within 0.5 s"
    )
    access_log: Annotated[float, Field(ge=0, le=1)] = Field(
        0, description="share of requests that are logged"
    )

    @field_validator("cors_origins", "service_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("redis_url")
    @classmethod
    def _scheme(cls, value: SecretStr | None) -> SecretStr | None:
        schemes = ("redis://", "rediss://", "unix://")
        if value is not None and not value.get_secret_value().startswith(schemes):
            raise ValueError(f"must start with one of {', '.join(schemes)}")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        """A lost heartbeat must not drop anybody, a hidden tab must not flicker, a sweep must keep up."""
        rules = [
            (
                self.heartbeat_interval * 0.9 * 2 <= self.ttl,
                "HEARTBEAT_INTERVAL",
                "twice 0.9 of it must fit in PRESENCE_TTL, else one lost heartbeat drops a viewer",
            ),
            (self.hidden_ttl >= self.ttl, "HIDDEN_TTL", "must not be below PRESENCE_TTL"),
            (self.leave_grace < self.ttl, "LEAVE_GRACE", "must be below PRESENCE_TTL"),
            (self.publish_interval <= 2, "PUBLISH_INTERVAL", "must not be over 2 s (rule S8)"),
        ]
        wrong = [f"{ENV_PREFIX}{name}: {why}" for holds, name, why in rules if not holds]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

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
    """Settings from the environment. Raises Misconfigured with one line per wrong variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            name = ENV_PREFIX + ".".join(str(part) for part in fault["loc"]).upper() if fault["loc"] else ""
            lines.append(f"{name}: {fault['msg']}" if name else fault["msg"].removeprefix("Value error, "))
        raise Misconfigured("\n".join(lines)) from None

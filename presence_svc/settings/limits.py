"""The settings that bound what anybody can take. A part of Settings.

Limits are per second and hold per worker process; bursts are what may come at once.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from .kinds import Limit, Rate, Seconds


class LimitSettings(BaseSettings):
    """Mixed into Settings, which carries the environment's prefix."""

    sessions_per_viewer: Limit = Field(10, description="live sessions of one viewer in one course")
    chapters_per_course: Annotated[int, Field(ge=1, le=2_000)] = Field(
        500,
        description="chapters with somebody in them, per course; the anonymous open new ones up to half",
    )
    queue_limit: Limit = Field(20_000, description="heartbeats waiting for Redis before 503, per worker")
    streams_limit: Limit = Field(20_000, description="open streams and sockets per worker")
    streams_per_viewer: Limit = Field(20, description="of these of one viewer, per worker (AUTH=jwt)")
    streams_per_address: Limit = Field(
        500, description="of these without a token from one address, per worker (AUTH=jwt)"
    )
    beat_burst: Limit = Field(20, description="heartbeats that one session may send at once (AUTH=jwt)")
    beat_rate: Rate | None = Field(
        None,
        description="its heartbeats per second; none given = 1, or twice what we ask for",
    )
    read_burst: Limit = Field(200, description="reads that one viewer may send at once (AUTH=jwt)")
    read_rate: Rate = Field(20, description="its reads per second")
    address_burst: Limit = Field(
        200, description="requests without a token, or with a bad one, from one address at once (AUTH=jwt)"
    )
    address_rate: Rate = Field(20, description="such requests per second")
    address_sessions: Limit = Field(
        2_000, description="sessions without a token that one address may keep present, about (AUTH=jwt)"
    )
    join_burst: Limit = Field(2_000, description="new viewers of one course at once (AUTH=jwt)")
    join_rate: Rate = Field(500, description="new viewers of one course per second")
    heartbeat_cache_limit: Limit = Field(
        100_000, description="sessions whose last heartbeat is remembered, 2 KB each or up to 8, per worker"
    )
    buckets_limit: Limit = Field(100_000, description="sessions, viewers and addresses that limits remember")
    body_limit: Annotated[int, Field(ge=1_024, le=1_048_576)] = Field(
        8_192, description="bytes of a body before 413 (a batch: 1 MiB)"
    )
    header_limit: Annotated[int, Field(ge=1_024, le=65_536)] = Field(
        16_384, description="bytes of a request's head before 431"
    )
    request_deadline: Seconds = Field(10, description="time for a request's head, and again for its body")
    send_deadline: Seconds = Field(10, description="a reader that takes no byte for this is dropped")
    stream_lifetime: Seconds = Field(1_800, description="a stream ends after this, more or less")

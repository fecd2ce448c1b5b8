"""The settings that limit what a client may use. A part of Settings.

Limits hold per worker process. A rate is per second; a burst is how many may come at once.
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
        description="occupied chapters per course; anonymous viewers may open new ones up to half of that",
    )
    queue_limit: Limit = Field(
        20_000, description="heartbeats and leaves that may wait for Redis, per worker; beyond it 503"
    )
    streams_limit: Limit = Field(20_000, description="open streams and sockets, per worker")
    streams_per_viewer: Limit = Field(
        20, description="open streams and sockets of one viewer, per worker (AUTH=jwt)"
    )
    streams_per_address: Limit = Field(
        2_000, description="open streams and sockets without a token from one address, per worker (AUTH=jwt)"
    )
    beat_burst: Limit = Field(20, description="heartbeats that one session may send at once (AUTH=jwt)")
    beat_rate: Rate | None = Field(
        None,
        description="heartbeats per second of one session; not set = twice the rate it is asked for, at least"
        " 1",
    )
    read_burst: Limit = Field(200, description="reads that one viewer may send at once (AUTH=jwt)")
    read_rate: Rate = Field(20, description="reads per second of one viewer (AUTH=jwt)")
    # A school is one address: several hundred visitors arrive when a lesson begins, each with three requests.
    address_burst: Limit = Field(
        3_000,
        description="requests without a valid token that one address may send at once (AUTH=jwt)",
    )
    address_rate: Rate = Field(
        100,
        description="requests per second without a valid token, from one address (AUTH=jwt)",
    )
    address_sessions: Limit = Field(
        2_000,
        description="how many sessions without a token one address may keep present, roughly (AUTH=jwt)",
    )
    socket_burst: Limit = Field(
        60,
        description="frames (messages, pings, fragments) that one WebSocket may send at once, else close code"
        " 4429",
    )
    socket_rate: Rate = Field(10, description="frames per second of one WebSocket")
    socket_bytes_burst: Limit = Field(
        262_144, description="bytes that one WebSocket may send at once, else close code 4429"
    )
    socket_bytes_rate: Rate = Field(16_384, description="bytes per second of one WebSocket")
    join_burst: Limit = Field(2_000, description="new viewers of one course at once (AUTH=jwt)")
    join_rate: Rate = Field(500, description="new viewers of one course per second (AUTH=jwt)")
    heartbeat_cache_limit: Limit = Field(
        100_000, description="sessions whose last heartbeat is cached, per worker; 2 KB each, at most 8 KB"
    )
    buckets_limit: Limit = Field(
        100_000, description="sessions, viewers or addresses tracked for each rate limit, per worker"
    )
    body_limit: Annotated[int, Field(ge=1_024, le=1_048_576)] = Field(
        8_192,
        description="largest body in bytes, else 413 (a batch: 1 MiB); also the largest WebSocket message",
    )
    header_limit: Annotated[int, Field(ge=1_024, le=65_536)] = Field(
        16_384, description="largest request line and headers in bytes, together, else 431"
    )
    request_deadline: Seconds = Field(
        10, description="time within which the headers must arrive, and then the body"
    )
    send_deadline: Seconds = Field(
        10, description="a client that takes no byte for this long is disconnected"
    )
    keep_alive: Seconds = Field(
        75,
        description="how long an idle connection of a client is kept: longer than the load balancer keeps its"
        " own",
    )
    drain_delay: Annotated[float, Field(ge=0, le=300)] = Field(
        0,
        description="after SIGTERM: how long the replica goes on serving while not ready, until load"
        " balancers notice",
    )
    drain_spread: Annotated[float, Field(ge=0, le=60)] = Field(
        3, description="time over which streams and sockets are then closed, at 100 a second or faster"
    )
    stream_lifetime: Seconds = Field(
        1_800, description="how long a stream or socket lasts, within 10 %; then its client reconnects"
    )

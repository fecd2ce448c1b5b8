"""Rows 1-4, 12 and 15: heartbeats by HTTP, ours beside others or beside ourselves, round by round in turn.

The ratios are of processor time per heartbeat (steady on shared machines) and of rates (on quiet ones).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from joserfc import jwk, jwt

from tests.benchmarks import peers, process
from tests.benchmarks.load import Cost, Load
from tests.benchmarks.row import Figure, Scale

BATCH = 500
BATCH_CONNECTIONS = 4
JWT_VIEWERS = 100
SECRET = "a secret of the benchmark, long enough for HS256"


class Side(NamedTuple):
    """A server under load, by its process's id, and its Redis."""

    load: Load
    server: int
    redis: int | None = None

    def measure(self, seconds: float) -> Cost:
        return self.load.measure(seconds, self.server, self.redis)


class Pair(NamedTuple):
    """What both sides of a round have shown."""

    ours: Cost
    theirs: Cost


def in_turn(ours: Side, theirs: Side, scale: Scale) -> list[Pair]:
    """A B A B: what else the machine does meets both alike."""
    ours.load.warm()
    theirs.load.warm()
    return [Pair(ours.measure(scale.seconds), theirs.measure(scale.seconds)) for _ in range(scale.rounds)]


def ratios(pairs: list[Pair], what: str, aim: str = "") -> list[Figure]:
    """How much more ours does than theirs."""
    return [
        Figure(f"{what}, per processor time", [p.theirs.us / p.ours.us for p in pairs], aim),
        Figure(f"{what}, rates", [p.ours.rate / p.theirs.rate for p in pairs], aim),
        Figure("a heartbeat of ours, processor time", [p.ours.us for p in pairs], "", "us"),
    ]


def heartbeats(url: str, scale: Scale, *, viewers: int = 0, tokens: Sequence[str] = ()) -> Load:
    return Load(url, "heartbeat", courses=scale.courses, viewers=viewers or scale.viewers, tokens=tokens)


@contextmanager
def our_side(
    scale: Scale,
    env: Mapping[str, str] | None = None,
    *,
    viewers: int = 0,
    tokens: Sequence[str] = (),
    cores: Iterable[int] = (process.SERVER_CORE,),
) -> Iterator[Side]:
    """The service on a Redis of its own, single heartbeats."""
    with (
        process.redis() as (redis, url),
        process.service(url, process.LONG_LEASES | dict(env or {}), cores) as service,
        heartbeats(service.url, scale, viewers=viewers, tokens=tokens) as load,
    ):
        yield Side(load, service.pid, redis.pid)


@contextmanager
def empty_side(scale: Scale) -> Iterator[Side]:
    with peers.empty_app() as empty, heartbeats(empty.url, scale) as load:
        yield Side(load, empty.pid)


def fast_path(scale: Scale) -> list[Figure]:
    with our_side(scale) as ours, empty_side(scale) as empty:
        return ratios(in_turn(ours, empty, scale), "fast path / empty app", ">= 1.5")


def asgi(scale: Scale) -> list[Figure]:
    with our_side(scale, {"PRESENCE_FAST_PATH": "false"}) as ours, empty_side(scale) as empty:
        return ratios(in_turn(ours, empty, scale), "ASGI app / empty app", ">= 0.65")


def centrifuge(scale: Scale) -> list[Figure]:
    """Also with what Redis spends: a reply of ours carries a count, and what expires is published."""
    with (
        process.redis() as (redis, url),
        peers.centrifuge(url) as peer,
        heartbeats(peer.url, scale) as load,
        our_side(scale) as ours,
    ):
        pairs = in_turn(ours, Side(load, peer.pid, redis.pid), scale)
    together = [p.theirs.us_with_redis / p.ours.us_with_redis for p in pairs]
    return [
        *ratios(pairs, "fast path / Centrifuge", ">= 1.0"),
        Figure("the same with Redis's processor time", together),
    ]


def batch(scale: Scale) -> list[Figure]:
    with (
        our_side(scale) as single,
        process.redis() as (redis, url),
        process.service(url, process.LONG_LEASES) as service,
        Load(
            service.url,
            "batch",
            courses=scale.courses,
            viewers=scale.viewers,
            per_call=BATCH,
            connections=BATCH_CONNECTIONS,
        ) as load,
    ):
        pairs = in_turn(Side(load, service.pid, redis.pid), single, scale)
        return ratios(pairs, f"{BATCH} a call / single ones", ">= 5")


def workers(scale: Scale) -> list[Figure]:
    """Both may use all cores, which they share with driver and Redis: on two cores, rates say little."""
    two, one = ({"PRESENCE_WORKERS": str(n)} for n in (2, 1))
    with (
        our_side(scale, two, cores=process.CORES) as ours,
        our_side(scale, one, cores=process.CORES) as theirs,
    ):
        return ratios(in_turn(ours, theirs, scale), "2 workers / 1")


def token(viewer: int) -> str:
    claims = {"sub": f"user-{viewer:06d}", "name": f"Ada Lovelace {viewer % 1000}", "exp": 4_000_000_000}
    return jwt.encode({"alg": "HS256"}, claims, jwk.OctKey.import_key(SECRET))


def identity(scale: Scale) -> list[Figure]:
    """Each viewer with a token of their own, judged before; both sides have the same viewers."""
    viewers = min(JWT_VIEWERS, scale.viewers)
    tokens = [token(n // scale.courses) for n in range(scale.courses * viewers)]
    believed = {
        "PRESENCE_AUTH": "jwt",
        "PRESENCE_JWT_SECRET": SECRET,
        "PRESENCE_BEAT_RATE": "100000",  # the load is a crowd's, said by few
        "PRESENCE_BEAT_BURST": "100000",
        "PRESENCE_JOIN_RATE": "100000",
    }
    with (
        our_side(scale, believed, viewers=viewers, tokens=tokens) as ours,
        our_side(scale, {"PRESENCE_AUTH": "trusted"}, viewers=viewers) as trusted,
    ):
        return ratios(in_turn(ours, trusted, scale), "jwt / trusted")

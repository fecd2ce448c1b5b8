"""The rows of the table, in its order."""

from __future__ import annotations

from tests.benchmarks import (
    before,
    change,
    closing,
    cluster,
    crowd,
    expiry,
    fanout,
    history,
    millions,
    rate,
    redis_cost,
)
from tests.benchmarks.row import Row

ROWS = [
    Row("fast-path", "an empty ASGI app on the same uvicorn, 100 courses x 1,000 viewers", rate.fast_path),
    Row("centrifuge", "Go, Centrifuge library, Redis presence manager", rate.centrifuge),
    Row("asgi", "the empty app; ours without the fast path", rate.asgi),
    Row("batch", "single heartbeats, as heartbeats", rate.batch),
    Row("redis-cpu", "pipelined SET PX + ZADD, Redis's processor time", redis_cost.cost),
    Row("redis-bytes", "used_memory; structures by MEMORY USAGE", redis_cost.memory),
    Row(
        "history", "PRESENCE_HISTORY and PRESENCE_PEOPLE both on, each, and both off, in turns", history.cost
    ),
    Row("frame", "transport.write in a loop on uvloop, per listener", fanout.frames),
    Row("listener-bytes", "resident memory before", fanout.memory),
    Row("socket-bytes", "resident memory before", fanout.sockets_memory),
    Row("join", "heartbeat at replica A to frame at replica B", change.join),
    Row("size", "the same service with ten viewers", crowd.size),
    Row("idle", "nothing happens", crowd.idle),
    Row("workers", "one worker, on the same core: the price of sharing", rate.workers),
    Row("purge", "a quiet course before", expiry.purge),
    Row("closing", "the same with PRESENCE_HISTORY=off", closing.closing),
    Row("crash", "the lease's end by Redis's clock", change.crash),
    Row("burst", "one message per PUBLISH_INTERVAL", change.burst),
    Row("jwt", "PRESENCE_AUTH=trusted, the same viewers", rate.identity),
    Row("cluster", "one server, Sentinels, three masters: the same heartbeats", cluster.compare),
    Row("before", "another checkout of this project, at the path in BEFORE", before.compare),
    Row("millions", "ten million viewers, from costs at 1, 3 and 6 masters", millions.sizes),
    Row("partitions", "64, 256 and 1,024 partitions on three masters", cluster.partitions),
]

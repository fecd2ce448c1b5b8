"""`presence-svc serve`: runs uvicorn on our sockets, with an embedded server if no Redis URL is set.

The parent process owns what workers share: the sockets, the embedded server and the metrics directory.
Without PRESENCE_AUTH it refuses to listen on anything but loopback.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import uvicorn
from rich.console import Console

from .. import __version__
from ..errors import Misconfigured, Unavailable
from ..logs import logging_config
from ..server.compatibility import protocols
from ..server.open_files import raise_limit
from ..settings import Settings, ignored_names, load
from ..store.checkup.preflight import preflight
from ..store.keys import Keys
from ..store.redis.factory import open_link
from .embedded.server import embedded_server
from .listeners import is_loopback, listen, url_of
from .stop import Server, Stop
from .workers import Workers, metrics_directory, startup

GRACE_S = 5  # the longest drain; together with DRAIN_SPREAD it is less than a container's 10 s
POLITE = 65_536  # larger messages (bytes) close a WebSocket without an explanation
GC_THRESHOLDS = (20_000, 50, 100)


def run(
    *,
    data_dir: Path | None = None,
    on_listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serves until a signal ends it. `on_listening` is called with the URL before the first request."""
    stop = Stop()
    stop.listen()  # first of all: the first process of a container ignores signals without a handler
    settings = load()
    check_exposure(settings)
    if data_dir is not None and settings.redis_url is not None:
        raise Misconfigured(
            "--data is for the embedded server, but PRESENCE_REDIS_URL is set: use only one of them"
        )
    raise_limit()
    if settings.redis_url is not None:
        asyncio.run(_preflight(settings))  # report problems before we say that we listen
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    if others := ignored_names():
        say(f"ignored environment variables, which are no settings: {', '.join(others)}")
    with ExitStack() as stack:
        listeners = stack.enter_context(listen(settings))
        if settings.redis_url is None:
            server = stack.enter_context(embedded_server(data_dir))
            os.environ["PRESENCE_REDIS_URL"] = server.url
            say(
                "PRESENCE_REDIS_URL is not set: an embedded server holds the state, for this"
                " process alone" + (f", kept in {data_dir}" if data_dir else " and until it ends")
            )
        if settings.workers > 1:
            stack.enter_context(metrics_directory())
        url = url_of(listeners[0])
        pages = ", ".join(f"{url}/{page}" for page in settings.pages)
        say(f"presence-svc {__version__} listens on {url}" + (f" ({pages})" if pages else ""))
        on_listening(url)
        _serve(settings, listeners, stop)


async def _preflight(settings: Settings) -> None:
    """Raises Misconfigured if Redis is unsuitable. If it is away, the service starts and waits for it."""
    link = open_link(settings)
    try:
        with suppress(Unavailable):
            await link.start()
        await preflight(link, Keys.of(settings))
    finally:
        await link.close()


def check_exposure(settings: Settings) -> None:
    """Beyond loopback PRESENCE_AUTH must be set explicitly. Raises Misconfigured."""
    if is_loopback(settings):
        return
    if settings.auth is None:
        raise Misconfigured(
            f"PRESENCE_HOST={settings.host} can be reached from outside, and PRESENCE_AUTH is not"
            " set: set PRESENCE_AUTH=jwt, or PRESENCE_AUTH=trusted when a gateway decides who may call"
        )
    if settings.auth == "trusted":
        Console(stderr=True, soft_wrap=True).print(
            f"PRESENCE_AUTH=trusted on {settings.host}: whoever can reach this port may act as any viewer",
            style="yellow",
        )


def server_options(settings: Settings) -> dict[str, Any]:
    """All options with which uvicorn runs us."""
    return {
        "app": f"{__name__}:app",
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "loop": "auto",  # uvloop and httptools are dependencies wherever they exist
        **protocols(fast_path=settings.fast_path and not settings.access_log and not settings.otel),
        "ws_max_size": max(POLITE, settings.body_limit),
        "ws_per_message_deflate": False,
        "lifespan": "on",
        "access_log": False,  # it halves the throughput; PRESENCE_ACCESS_LOG samples
        "log_config": logging_config(),
        "server_header": False,
        "proxy_headers": True,
        "forwarded_allow_ips": settings.trusted_proxies,
        "backlog": 2_048,
        "timeout_keep_alive": settings.keep_alive,  # the load balancer must be the one that closes
        "timeout_graceful_shutdown": GRACE_S,
        "timeout_worker_healthcheck": 20,  # a slow start of many workers must not look like a hang
    }


def app() -> Any:
    """Makes the ASGI app of one process, from the environment that `run` has checked."""
    gc.disable()  # until everything is imported
    with startup():
        from ..app import create_app

        made = create_app(load())
    # What exists now is permanent, so the collector may skip it. Requests leave no reference cycles: looking
    # for some among a hundred thousand cached sessions every few requests would find nothing.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    return made


def _serve(settings: Settings, listeners: list[socket.socket], stop: Stop) -> None:
    config = uvicorn.Config(**server_options(settings))
    if settings.workers > 1:
        patience_s = settings.drain_delay + settings.drain_spread + 2 * GRACE_S
        raise SystemExit(Workers(config, listeners, stop, patience_s).serve())
    Server(config, stop).run(sockets=listeners)

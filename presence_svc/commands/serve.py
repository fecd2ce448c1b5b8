"""`presence-svc serve`: one listening socket, uvicorn on it, a Redis of our own if none is named.

The parent process owns what workers share: the socket, the embedded server, the metrics directory.
Refuses to listen on anything but loopback without PRESENCE_AUTH.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from rich.console import Console

from .. import __version__
from ..errors import Misconfigured
from ..logs import logging_config
from ..server.fast_path import FastPathProtocol
from ..server.http import HttpProtocol
from ..server.websocket import WebSocketProtocol
from ..settings import Settings, load
from ..store.redis.embedded import EmbeddedServer
from ..store.redis.factory import open_link
from .workers import Workers, metrics_directory, startup

GRACE_S = 8  # backstop of the drain; with what comes after it we end before a container's 10 s
POLITE = 65_536  # bytes up to which a message is told why it is too large; beyond it the socket just closes
GC_THRESHOLDS = (20_000, 50, 100)


def run(
    *,
    data_dir: Path | None = None,
    on_listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serves until a signal ends it. `on_listening` gets the URL before the first request."""
    settings = load()
    check_exposure(settings)
    if settings.redis_url is not None:
        open_link(settings)  # says what is wrong with its options before anybody is told that we listen
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings))
        if settings.redis_url is None:
            server = stack.enter_context(EmbeddedServer(data_dir=data_dir))
            os.environ["PRESENCE_REDIS_URL"] = server.url
            say(
                "PRESENCE_REDIS_URL is not set: an embedded server holds the state, for this"
                " process alone" + (f", kept in {data_dir}" if data_dir else " and until it ends")
            )
        if settings.workers > 1:
            stack.enter_context(metrics_directory())
        url = _address(settings, listener)
        say(f"presence-svc {__version__} listens on {url} ({url}/demo, {url}/docs)")
        on_listening(url)
        _serve(settings, listener)


def check_exposure(settings: Settings) -> None:
    """Who may reach us must be decided in so many words. Raises Misconfigured."""
    if _is_loopback(settings.host):
        return
    if settings.auth is None:
        raise Misconfigured(
            f"PRESENCE_HOST={settings.host} can be reached from outside, and PRESENCE_AUTH is not"
            " set: set PRESENCE_AUTH=jwt, or PRESENCE_AUTH=trusted when a gateway decides who may call"
        )
    if settings.auth == "trusted":
        Console(stderr=True, soft_wrap=True).print(
            f"PRESENCE_AUTH=trusted on {settings.host}: who reaches this port may be any viewer",
            style="yellow",
        )


def server_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn runs us: the one place where that is said."""
    return {
        "app": f"{__name__}:app",
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "loop": "auto",  # uvloop and httptools are dependencies wherever they exist
        "http": FastPathProtocol if settings.fast_path and not settings.access_log else HttpProtocol,
        "ws": WebSocketProtocol,
        "ws_max_size": max(POLITE, settings.body_limit),
        "ws_per_message_deflate": False,
        "lifespan": "on",
        "access_log": False,  # it halves the throughput; PRESENCE_ACCESS_LOG samples
        "log_config": logging_config(),
        "server_header": False,
        "proxy_headers": True,
        "forwarded_allow_ips": settings.trusted_proxies,
        "backlog": 2_048,
        "timeout_keep_alive": 75,  # above a load balancer's 60: it must be the one that closes
        "timeout_graceful_shutdown": GRACE_S,
        "timeout_worker_healthcheck": 20,  # a slow start of many workers must not look like a hang
    }


def app() -> Any:
    """The ASGI app of one process, by the environment that `run` has checked. Named by server_options()."""
    with startup():
        from ..app import create_app

        made = create_app(load())
    # What is here now stays: it need not be looked at again. What requests leave behind dies by its reference
    # count; looking for cycles among a hundred thousand remembered sessions every few requests finds nothing.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    return made


def _serve(settings: Settings, listener: socket.socket) -> None:
    config = uvicorn.Config(**server_options(settings))
    if settings.workers > 1:
        raise SystemExit(Workers(config, [listener]).serve())
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while ")[0]  # a resolver's errno is none of the system's
        raise Misconfigured(
            f"cannot listen on {settings.host}:{settings.port} ({reason}): set PRESENCE_HOST or PRESENCE_PORT"
        ) from None
    with listener:
        yield listener


def _address(settings: Settings, listener: socket.socket) -> str:
    """The URL to open: of this machine when we listen everywhere."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _end(number: int, frame: object) -> None:
    """uvicorn raises the signal again after its drain: a clean end, in order, and status 0."""
    raise SystemExit(0)

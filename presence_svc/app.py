"""The one wiring page: builds every part, starts and stops what runs by itself, and mounts the routes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from . import settings as settings_
from .errors import Misconfigured, Unavailable
from .live.hub import Hub
from .live.renewer import Renewer
from .live.sweeper import Sweeper
from .metrics import Metrics
from .settings import Settings
from .store.agenda import Agenda
from .store.connect import Link
from .store.presence import Presence
from .store.roster import Rosters
from .store.shared import Pulse, Shared
from .store.stats import Totals
from .web import heartbeat, openapi, operations, pages, problems, routes, sockets, streams
from .web.access import Access
from .web.auth.anonymous import AnonymousIds, Pseudonyms
from .web.auth.gate import Gate
from .web.auth.leave_token import LeaveTokens
from .web.auth.newcomer import Newcomers
from .web.door import Door
from .web.lane import Lane, cors_options
from .web.limits import Limits
from .web.places import Places
from .web.service import Service

COURSE = "/v1/courses/{course_id}"


def app_from_env() -> ASGIApp:
    """For any ASGI server: `uvicorn --factory presence_svc.app:app_from_env`. Raises Misconfigured.

    We cannot see where that server listens: so who may call is said in so many words, on loopback too.
    """
    settings = settings_.load()
    if settings.auth is None:
        raise Misconfigured(
            "PRESENCE_AUTH is not set: set PRESENCE_AUTH=jwt, or PRESENCE_AUTH=trusted when a gateway decides"
            " who may call (`presence-svc serve` needs neither on loopback)"
        )
    return create_app(settings)


def create_app(settings: Settings) -> ASGIApp:
    """The ASGI app of one replica. Nothing is connected before its lifespan starts."""
    metrics, lane = Metrics(), Lane(settings)
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(CORSMiddleware, **cors_options(settings))],
        exception_handlers=problems.HANDLERS,
        lifespan=_lifespan(settings, metrics, lane),
    )
    app.router.redirect_slashes = False  # it would send clients to whatever host they have named
    app.state.openapi, app.state.lane = openapi.document(names_itself=settings.auth != "jwt"), lane
    return Door(Access(app, metrics, settings.access_log, addresses=settings.log_addresses), lane)


def _routes() -> list[BaseRoute]:
    return [
        Route(f"{COURSE}/heartbeat", heartbeat.heartbeat, methods=["POST"]),
        Route(f"{COURSE}/leave", routes.leave, methods=["POST"]),
        Route(f"{COURSE}/count", routes.count),
        Route(f"{COURSE}/viewers", routes.viewers),
        Route(f"{COURSE}/viewers/{{viewer_id}}", routes.evict, methods=["DELETE"]),
        Route(f"{COURSE}/live", streams.CourseStream(), methods=["GET"]),
        Route(f"{COURSE}/ws", sockets.upgrade, methods=["GET"]),
        Route("/v1/counts", routes.counts),
        Route("/v1/heartbeats", heartbeat.heartbeats, methods=["POST"]),
        Route("/v1/live", streams.CatalogueStream(), methods=["GET"]),
        Route("/v1/stats", routes.stats),
        Route("/livez", operations.livez),
        Route("/readyz", operations.readyz),
        Route("/metrics", operations.metrics),
        Route("/openapi.json", operations.openapi),
        *pages.routes(),
    ]


def _lifespan(settings: Settings, metrics: Metrics, lane: Lane) -> Callable[[Starlette], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """Stops in the order of need: streams first, then what feeds them, then the way to Redis."""
        link = Link.open(settings)
        service, sweeper = build(settings, link, metrics)
        app.state.service = lane.service = service
        with contextlib.suppress(Unavailable):  # leave tokens need the common secret
            await sweeper.pulse()
        service.hub.start()
        service.renewer.start()
        sweeper.start()
        with _on_shutdown(service.hub.close):
            yield {"service": service, "lane": lane}
        await service.hub.stop()
        await service.renewer.stop()
        await sweeper.stop()
        await service.gate.close()
        await service.presence.close()
        await link.close()

    return lifespan


def build(settings: Settings, link: Link, metrics: Metrics) -> tuple[Service, Sweeper]:
    """Every part of a replica, wired; nothing runs yet."""
    link.on_exchange, link.on_failure = metrics.exchange.observe, metrics.redis_failures.inc
    presence = Presence(link, settings, on_batch=metrics.batch.observe)
    shared = Shared(link, settings)
    rosters = Rosters(link, settings, shared)
    seen_rosters = Pseudonyms(link, settings, shared) if settings.pseudonyms else rosters
    hub = Hub(presence, seen_rosters)
    hub.on_fan_out, hub.on_lost = metrics.frames.inc, metrics.resubscribed.inc

    def on_pulse(pulse: Pulse) -> None:
        hub.on_pulse(pulse)
        metrics.settle()

    sweeper = Sweeper(
        Agenda(link, settings),
        shared,
        settings,
        on_pulse=on_pulse,
        on_gone=metrics.expired.inc,
    )
    presence.on_due = sweeper.poke

    def on_back() -> None:
        hub.refresh()
        sweeper.poke(0)  # whoever has started without Redis waits for the common secret

    link.on_back = on_back
    leave_tokens, limits = LeaveTokens(shared), Limits(settings)
    gate = Gate(
        settings,
        limits=limits,
        newcomers=Newcomers(presence, limits),
        anonymous=AnonymousIds(shared),
        leave_tokens=leave_tokens,
    )
    service = Service(
        settings=settings,
        presence=presence,
        rosters=rosters,
        seen_rosters=seen_rosters,
        totals=Totals(link, presence, presence.keys),
        hub=hub,
        renewer=Renewer(presence, settings),
        leave_tokens=leave_tokens,
        gate=gate,
        limits=limits,
        places=Places(settings.streams_limit),
        metrics=metrics,
    )
    return service, sweeper


@contextlib.contextmanager
def _on_shutdown(close: Callable[[], None]) -> Any:
    """Hears of SIGTERM and SIGINT before uvicorn waits for connections: streams would never end."""
    loop = asyncio.get_running_loop()
    before = {}

    def wrap(number: signal.Signals) -> None:
        old = signal.getsignal(number)

        def handle(signum: int, frame: Any) -> None:
            loop.call_soon_threadsafe(close)
            if callable(old):
                old(signum, frame)

        before[number] = old
        signal.signal(number, handle)

    with contextlib.suppress(ValueError):  # not the main thread: somebody else owns the signals
        for number in (signal.SIGTERM, signal.SIGINT):
            wrap(number)
    try:
        yield
    finally:
        close()
        for number, old in before.items():
            signal.signal(number, old)

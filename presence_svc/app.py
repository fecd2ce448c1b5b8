"""The ASGI app: mounts the routes, and starts and stops what runs by itself."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from functools import cache, partial
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import settings as settings_
from .errors import Misconfigured, Unavailable
from .live.loop_lag import LoopLag
from .live.repairer import Repairer
from .live.suspension import SuspensionDetector
from .metrics import Metrics
from .replica import build
from .server.open_files import watched_files
from .server.request_head import close_after_answers
from .server.shutdown import on_shutdown
from .settings import Settings
from .store.checkup.claim import Claim
from .store.checkup.preflight import preflight
from .store.people.repair import PeopleRepair
from .store.redis.factory import open_link
from .web import problems
from .web.access_log import AccessLog
from .web.api import asyncapi, openapi, routes
from .web.dispatch import Dispatch
from .web.heartbeat import HeartbeatHandler
from .web.origins import Cors
from .web.pages import files as pages
from .web.pages import home

LONGEST_STOP_S = 2.0  # a suspension longer than this: responses pending since before it are not sent


def app_from_env() -> ASGIApp:
    """For any ASGI server: `uvicorn --factory presence_svc.app:app_from_env`. Raises Misconfigured.

    We cannot see where that server listens, so PRESENCE_AUTH has to be set explicitly, on loopback too.
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
    metrics, handler = Metrics(), HeartbeatHandler(settings)
    app = Starlette(
        routes=[*routes.mounted(), *pages.routes(settings), *home.routes(settings)],
        middleware=[Middleware(Cors, settings.cors_origins)],
        exception_handlers=problems.HANDLERS,
        lifespan=_lifespan(settings, metrics, handler),
    )
    app.router.lifespan = _report_refusal(app.router.lifespan)  # type: ignore[method-assign, assignment]
    app.router.redirect_slashes = False  # it would send clients to whatever host they have named
    app.state.handler = handler
    # Made when somebody asks: a start has no need of them.
    app.state.asyncapi = cache(partial(asyncapi.document, settings.key_prefix))
    app.state.openapi = cache(partial(openapi.document, routes.ROUTES, names_itself=settings.auth != "jwt"))
    outer = AccessLog(app, metrics, settings.access_log, addresses=settings.log_addresses)
    dispatch = Dispatch(outer, handler, settings.root_path)
    if not settings.otel:
        return dispatch
    from .web.request_spans import RequestSpans  # OpenTelemetry is an extra

    return RequestSpans(dispatch, settings.root_path)


def _report_refusal(lifespan: ASGIApp) -> ASGIApp:
    """A refused start is reported by its message, without a traceback, because it is not a bug."""

    async def reporting(scope: Scope, receive: Receive, send: Send) -> None:
        async def report(message: Message) -> None:
            refusal = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(refusal, Misconfigured):
                message = {**message, "message": refusal.detail}
            await send(message)

        await lifespan(scope, receive, report)

    return reporting


def _lifespan(settings: Settings, metrics: Metrics, handler: HeartbeatHandler) -> Callable[[Starlette], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """Stops in the order of need: streams first, then what feeds them, then the link to Redis."""
        link = open_link(settings)
        service, sweeper = build(settings, link, metrics)
        files = watched_files(service)
        app.state.service = handler.service = service
        await preflight(link, service.presence.keys, warns=True, pool=settings.redis_pool)
        claim = Claim(link, service.presence.keys)
        await claim.make()
        service.hub.bus.on_marked = claim.release
        with contextlib.suppress(Unavailable):  # leave tokens need the common secret
            await link.start()
            await sweeper.refresh_marks()
        for part in (service.hub, service.renewer, sweeper):
            part.start()
        repairer = Repairer(PeopleRepair(link, settings, service.presence.keys))
        repairer.start()
        longest_s = min(LONGEST_STOP_S, max(1.0, settings.ttl / 2))
        suspension = SuspensionDetector(longest_s, service.renewer.on_suspension)
        service.presence.is_late = suspension.is_late
        suspension.start()
        loop_lag = LoopLag(metrics.loop_lag.observe)
        loop_lag.start()
        delay_s, spread_s = settings.drain_delay, settings.drain_spread
        with on_shutdown(service.hub, delay_s, spread_s, close_after_answers) as shutdown:
            yield {"service": service, "handler": handler, "files": files, "shutdown": shutdown}
        suspension.stop()
        claim.release()
        await service.hub.stop()
        await service.renewer.stop()
        await repairer.stop()
        await sweeper.stop()
        await service.totals.close()
        loop_lag.stop()
        await service.admission.close()
        await service.titles.close()
        await service.presence.close()
        await link.close()

    return lifespan

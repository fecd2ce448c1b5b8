"""The one wiring page: builds every part, starts and stops what runs by itself, and mounts the routes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from . import settings as settings_
from .auth.admission import Admission
from .auth.anonymous import AnonymousIds, Pseudonyms
from .auth.capacity import Capacity
from .auth.joins import Joins
from .auth.leave_token import LeaveTokens
from .auth.rates import Rates
from .errors import Misconfigured, Unavailable
from .live.hub import Hub
from .live.loop_lag import LoopLag
from .live.mender import Mender
from .live.renewer import Renewer
from .live.standstill import Standstill
from .live.sweeper import Sweeper
from .metrics import Metrics
from .server.open_files import watched_files
from .server.request_head import close_after_answers
from .server.shutdown import on_shutdown
from .settings import Settings
from .store.agenda import Agenda
from .store.census import Census
from .store.checkup.preflight import preflight
from .store.checkup.readiness import Readiness
from .store.history.answers import HistoryAnswers
from .store.history.export import Export
from .store.people.books import PeopleBooks
from .store.people.counter import PeopleCounter
from .store.presence import Presence
from .store.redis.factory import open_link
from .store.redis.link import Link
from .store.roster.reader import Rosters
from .store.shared import Pulse, Shared
from .store.stats import Totals
from .web import problems
from .web.access_log import AccessLog
from .web.api import asyncapi, openapi, routes
from .web.dispatch import Dispatch
from .web.heartbeat import HeartbeatHandler, cors_options
from .web.pages import files as pages
from .web.pages import home
from .web.pages.titles import Titles
from .web.services import Services

LONGEST_STOP_S = 2.0  # of this process: what was said before it is not sent after it


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
    metrics, handler = Metrics(), HeartbeatHandler(settings)
    app = Starlette(
        routes=[*routes.mounted(), *pages.routes(settings), *home.routes(settings)],
        middleware=[Middleware(CORSMiddleware, **cors_options(settings))],
        exception_handlers=problems.HANDLERS,
        lifespan=_lifespan(settings, metrics, handler),
    )
    app.router.redirect_slashes = False  # it would send clients to whatever host they have named
    app.state.handler = handler
    app.state.asyncapi = asyncapi.document(settings.key_prefix)
    app.state.openapi = openapi.document(routes.ROUTES, names_itself=settings.auth != "jwt")
    outer = AccessLog(app, metrics, settings.access_log, addresses=settings.log_addresses)
    dispatch = Dispatch(outer, handler, settings.root_path)
    if not settings.otel:
        return dispatch
    from .web.request_spans import RequestSpans  # OpenTelemetry is an extra

    return RequestSpans(dispatch, settings.root_path)


def _lifespan(settings: Settings, metrics: Metrics, handler: HeartbeatHandler) -> Callable[[Starlette], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """Stops in the order of need: streams first, then what feeds them, then the way to Redis."""
        link = open_link(settings)
        service, sweeper = build(settings, link, metrics)
        files = watched_files(service)
        app.state.service = handler.service = service
        await preflight(link, service.presence.keys, tells=True)
        with contextlib.suppress(Unavailable):  # leave tokens need the common secret
            await link.start()
            await sweeper.pulse()
        for part in (service.hub, service.renewer, sweeper):
            part.start()
        mender = Mender(PeopleBooks(link, settings, service.presence.keys))
        mender.start()
        standstill = Standstill(min(LONGEST_STOP_S, max(1.0, settings.ttl / 2)))
        service.presence.is_late = standstill.is_late
        standstill.start()
        loop_lag = LoopLag(metrics.loop_lag.observe)
        loop_lag.start()
        with on_shutdown(service.hub, settings.drain_delay, settings.drain_spread, close_after_answers):
            yield {"service": service, "handler": handler, "files": files}
        standstill.stop()
        await service.hub.stop()
        await service.renewer.stop()
        await mender.stop()
        await sweeper.stop()
        await service.census.close()
        loop_lag.stop()
        await service.admission.close()
        await service.titles.close()
        await service.presence.close()
        await link.close()

    return lifespan


def build(settings: Settings, link: Link, metrics: Metrics) -> tuple[Services, Sweeper]:
    """Every part of a replica, wired; nothing runs yet."""
    presence, shared = Presence(link, settings), Shared(link, settings)
    rosters = Rosters(link, settings, shared)
    seen_rosters = Pseudonyms(link, settings, shared) if settings.pseudonyms else rosters
    people = PeopleCounter(link, settings, presence.keys)
    hub = Hub(presence, seen_rosters, people)
    sweeper = Sweeper(agenda := Agenda(link, settings), shared, settings)
    metrics.look = lambda: metrics.nodes(link.servers(), link.redirections, agenda.lag_s)
    answers, leave_tokens, rates = HistoryAnswers(link, settings), LeaveTokens(shared), Rates(settings)
    admission = Admission(
        settings,
        rates=rates,
        joins=Joins(presence, rates),
        anonymous=AnonymousIds(shared),
        leave_tokens=leave_tokens,
        on_repair=metrics.repaired.inc,
    )
    service = Services(
        settings=settings,
        presence=presence,
        rosters=rosters,
        seen_rosters=seen_rosters,
        totals=Totals(link, presence.keys, people),
        history=answers,
        export=Export(link, settings, answers.reader),
        titles=Titles(settings.titles_url),
        readiness=Readiness(link, presence.keys),
        census=Census(link, presence.keys),
        hub=hub,
        renewer=Renewer(presence, settings),
        leave_tokens=leave_tokens,
        admission=admission,
        rates=rates,
        capacity=Capacity(settings.streams_limit),
        metrics=metrics,
    )
    _observe(link, service, sweeper)
    return service, sweeper


def _observe(link: Link, service: Services, sweeper: Sweeper) -> None:
    """Who is told of what: the one place where parts hear of each other that are not made of each other."""
    presence, hub, metrics = service.presence, service.hub, service.metrics

    def on_pulse(pulse: Pulse) -> None:
        hub.on_pulse(pulse)
        metrics.look()
        metrics.settle()

    def on_back() -> None:
        hub.refresh()
        hub.bus.renew()  # it may be another server that is back
        sweeper.poke(0)  # whoever has started without Redis waits for the common secret

    link.observe(
        on_exchange=metrics.exchange.observe,
        on_failure=metrics.redis_failures.inc,
        on_refusal=metrics.refused,
        on_back=on_back,
    )
    presence.on_due, presence.on_group = sweeper.poke, metrics.group.observe
    sweeper.on_pulse, sweeper.on_gone, sweeper.on_closed = on_pulse, metrics.expired.inc, metrics.closed
    hub.on_fan_out, hub.on_lost = metrics.frames.inc, metrics.resubscribed.inc

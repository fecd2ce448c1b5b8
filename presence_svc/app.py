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
from .live.renewer import Renewer
from .live.sweeper import Sweeper
from .metrics import Metrics
from .server.shutdown import on_shutdown
from .settings import Settings
from .store.agenda import Agenda
from .store.history.answers import HistoryAnswers
from .store.history.export import Export
from .store.people import PeopleCounter
from .store.presence import Presence
from .store.redis.factory import open_link
from .store.redis.link import Link
from .store.roster.reader import Rosters
from .store.shared import Pulse, Shared
from .store.stats import Totals
from .web import problems
from .web.access_log import AccessLog
from .web.api import openapi, routes
from .web.dispatch import Dispatch
from .web.heartbeat import HeartbeatHandler, cors_options
from .web.pages import files as pages
from .web.services import Services


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
        routes=[*routes.mounted(), *pages.routes()],
        middleware=[Middleware(CORSMiddleware, **cors_options(settings))],
        exception_handlers=problems.HANDLERS,
        lifespan=_lifespan(settings, metrics, handler),
    )
    app.router.redirect_slashes = False  # it would send clients to whatever host they have named
    app.state.openapi, app.state.handler = (
        openapi.document(routes.ROUTES, names_itself=settings.auth != "jwt"),
        handler,
    )
    return Dispatch(AccessLog(app, metrics, settings.access_log, addresses=settings.log_addresses), handler)


def _lifespan(settings: Settings, metrics: Metrics, handler: HeartbeatHandler) -> Callable[[Starlette], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """Stops in the order of need: streams first, then what feeds them, then the way to Redis."""
        link = open_link(settings)
        service, sweeper = build(settings, link, metrics)
        app.state.service = handler.service = service
        with contextlib.suppress(Unavailable):  # leave tokens need the common secret
            await sweeper.pulse()
        service.hub.start()
        service.renewer.start()
        sweeper.start()
        with on_shutdown(service.hub.close):
            yield {"service": service, "handler": handler}
        await service.hub.stop()
        await service.renewer.stop()
        await sweeper.stop()
        await service.admission.close()
        await service.presence.close()
        await link.close()

    return lifespan


def build(settings: Settings, link: Link, metrics: Metrics) -> tuple[Services, Sweeper]:
    """Every part of a replica, wired; nothing runs yet."""
    link.observe(
        on_exchange=metrics.exchange.observe,
        on_failure=metrics.redis_failures.inc,
        on_refusal=metrics.refused,
    )
    presence = Presence(link, settings, on_group=metrics.group.observe)
    shared = Shared(link, settings)
    rosters = Rosters(link, settings, shared)
    seen_rosters = Pseudonyms(link, settings, shared) if settings.pseudonyms else rosters
    people = PeopleCounter(link, settings, presence.keys)
    hub = Hub(presence, seen_rosters, people)
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
        on_closed=metrics.closed,
    )
    presence.on_due = sweeper.poke

    def on_back() -> None:
        hub.refresh()
        sweeper.poke(0)  # whoever has started without Redis waits for the common secret

    link.observe(on_back=on_back)
    answers = HistoryAnswers(link, settings)
    leave_tokens, rates = LeaveTokens(shared), Rates(settings)
    admission = Admission(
        settings,
        rates=rates,
        joins=Joins(presence, rates),
        anonymous=AnonymousIds(shared),
        leave_tokens=leave_tokens,
    )
    service = Services(
        settings=settings,
        presence=presence,
        rosters=rosters,
        seen_rosters=seen_rosters,
        totals=Totals(link, presence, presence.keys, people),
        history=answers,
        export=Export(link, settings, answers.reader),
        hub=hub,
        renewer=Renewer(presence, settings),
        leave_tokens=leave_tokens,
        admission=admission,
        rates=rates,
        capacity=Capacity(settings.streams_limit),
        metrics=metrics,
    )
    return service, sweeper

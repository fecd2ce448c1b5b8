"""Builds all parts of a replica and connects them. Nothing runs yet.

Called by app, which starts and stops these parts.
"""

from __future__ import annotations

from .auth.admission import Admission
from .auth.anonymous_ids import AnonymousIds, Pseudonyms
from .auth.capacity import Capacity
from .auth.joins import Joins
from .auth.leave_token import LeaveTokens
from .auth.rates import Rates
from .live.hub import Hub
from .live.renewer import Renewer
from .live.sweeper import Sweeper
from .metrics import Metrics
from .settings import Settings
from .store.agenda import Agenda
from .store.census import Census
from .store.checkup.readiness import Readiness
from .store.history.answers import HistoryAnswers
from .store.history.export import Export
from .store.people.counter import PeopleCounter
from .store.presence import Presence
from .store.redis.link import Link
from .store.roster.reader import Rosters
from .store.shared import Shared, WarmState
from .store.stats import Totals
from .web.pages.titles import Titles
from .web.services import Services


def build(settings: Settings, link: Link, metrics: Metrics) -> tuple[Services, Sweeper]:
    """Everything that routes use, and the sweeper."""
    presence, shared = Presence(link, settings), Shared(link, settings)
    rosters = Rosters(link, settings, shared)
    public_rosters = Pseudonyms(link, settings, shared) if settings.pseudonyms else rosters
    people = PeopleCounter(link, settings, presence.keys)
    census = Census(link, presence.keys, settings.ttl_ms)
    hub = Hub(presence, public_rosters, people)
    sweeper = Sweeper(agenda := Agenda(link, settings), shared, settings)
    metrics.look = lambda: metrics.nodes(link.servers(), link.redirections, agenda.lag_s)
    answers, leave_tokens, rates = (
        HistoryAnswers(link, settings, agenda),
        LeaveTokens(shared),
        Rates(settings),
    )
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
        public_rosters=public_rosters,
        totals=Totals(link, settings, presence.keys, census, people),
        history=answers,
        export=Export(link, settings, answers.reader),
        titles=Titles(settings.titles_url),
        readiness=Readiness(link, presence.keys),
        census=census,
        hub=hub,
        renewer=Renewer(presence, settings),
        leave_tokens=leave_tokens,
        admission=admission,
        rates=rates,
        capacity=Capacity(settings.streams_limit),
        metrics=metrics,
    )
    agenda.on_removed, agenda.on_closed = metrics.expired.inc, metrics.closed
    _observe(link, service, sweeper)
    return service, sweeper


def _observe(link: Link, service: Services, sweeper: Sweeper) -> None:
    """Connects parts that do not own each other by callbacks."""
    presence, hub, metrics = service.presence, service.hub, service.metrics

    def on_warm_state(state: WarmState) -> None:
        hub.on_warm_state(state)
        metrics.look()
        metrics.settle()

    def on_back() -> None:
        hub.refresh()
        hub.bus.renew()  # the server that is back may be another one
        sweeper.poke(0)  # a replica that started without Redis needs the common secret

    link.observe(
        on_exchange=metrics.exchange.observe,
        on_failure=metrics.redis_failures.inc,
        on_refusal=metrics.refused,
        on_back=on_back,
    )
    presence.on_due, presence.on_group = sweeper.poke, metrics.group.observe
    sweeper.on_warm_state = on_warm_state
    hub.on_fan_out, hub.on_lost = metrics.frames.inc, metrics.resubscribed.inc

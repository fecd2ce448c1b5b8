"""What routes share: the store, the hub, the settings and the metrics."""

from __future__ import annotations

from dataclasses import dataclass

from ..auth import LeaveTokens
from ..auth.admission import Admission
from ..auth.capacity import Capacity
from ..auth.rates import Rates
from ..live.hub import Hub
from ..live.renewer import Renewer
from ..metrics import Metrics
from ..settings import Settings
from ..store.census import Census
from ..store.checkup.readiness import Readiness
from ..store.history.answers import HistoryAnswers
from ..store.history.export import Export
from ..store.presence import Presence
from ..store.roster.reader import Rosters
from ..store.stats import Totals
from .pages.titles import Titles


@dataclass(frozen=True, slots=True)
class Services:
    """Built by replica.build; routes find it in `request.app.state`. `public_rosters` is for viewers."""

    settings: Settings
    presence: Presence
    rosters: Rosters
    public_rosters: Rosters
    totals: Totals
    titles: Titles
    readiness: Readiness
    census: Census
    history: HistoryAnswers
    export: Export
    hub: Hub
    renewer: Renewer
    leave_tokens: LeaveTokens
    admission: Admission
    rates: Rates
    capacity: Capacity
    metrics: Metrics

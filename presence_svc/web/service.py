"""What the routes share: the store, the hub, the settings and the metrics, handed over once by app."""

from __future__ import annotations

from dataclasses import dataclass

from ..live.hub import Hub
from ..live.renewer import Renewer
from ..metrics import Metrics
from ..settings import Settings
from ..store.presence import Presence
from ..store.roster import Rosters
from ..store.stats import Totals
from .auth import LeaveTokens
from .auth.gate import Gate
from .limits import Limits
from .places import Places


@dataclass(frozen=True, slots=True)
class Service:
    """Built by app.build, found by routes in `request.app.state`. `seen_rosters`: what viewers may see."""

    settings: Settings
    presence: Presence
    rosters: Rosters
    seen_rosters: Rosters
    totals: Totals
    hub: Hub
    renewer: Renewer
    leave_tokens: LeaveTokens
    gate: Gate
    limits: Limits
    places: Places
    metrics: Metrics

"""For Python services: calls of the service over HTTP, and changes of a course straight from Redis.

Names are imported on first use: a program that only makes calls needs httpx2, pydantic and orjson, one that
watches also needs redis, and neither needs the server's dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import Count as Count
    from ..model import CourseHeartbeat as CourseHeartbeat
    from ..model import Heartbeat as Heartbeat
    from ..model import HeartbeatReply as HeartbeatReply
    from ..model import Problem as Problem
    from ..model import Roster as Roster
    from ..model import Stats as Stats
    from ..model import Viewer as Viewer
    from ..store.history.model import Calendar as Calendar
    from ..store.history.model import ExportedRow as ExportedRow
    from ..store.history.model import ExportPage as ExportPage
    from ..store.history.model import ExportRow as ExportRow
    from ..store.history.model import Heatmap as Heatmap
    from ..store.history.model import History as History
    from .asynchronous import AsyncPresenceClient as AsyncPresenceClient
    from .blocking import BlockingWatch as BlockingWatch
    from .blocking import watch_sync as watch_sync
    from .changes import watch as watch
    from .changes import watch_all as watch_all
    from .failure import ClientError as ClientError
    from .failure import ProblemError as ProblemError
    from .failure import Unreachable as Unreachable
    from .synchronous import PresenceClient as PresenceClient

_FOUND_IN = {
    "..model": "Count CourseHeartbeat Heartbeat HeartbeatReply Problem Roster Stats Viewer",
    "..store.history.model": "Calendar ExportedRow ExportPage ExportRow Heatmap History",
    ".asynchronous": "AsyncPresenceClient",
    ".blocking": "BlockingWatch watch_sync",
    ".changes": "watch watch_all",
    ".failure": "ClientError ProblemError Unreachable",
    ".synchronous": "PresenceClient",
}
_MODULE_OF = {name: module for module, names in _FOUND_IN.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Imports a name on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_MODULE_OF[name], __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The table of all API routes: the app mounts it, and OpenAPI is made from it. A new route is a new row here.

web.pages has the routes of files and pages. web.dispatch handles heartbeats and WebSockets before the router.
"""

from __future__ import annotations

from collections import defaultdict

from starlette.routing import Route as StarletteRoute

from ... import model
from ...store.history import model as past
from .. import selection
from ..paths import COURSE, HEARTBEAT, SOCKET
from ..sse import endpoint as sse
from ..ws import endpoint as ws
from . import courses, export, heartbeats, history, operations, titles
from .ranges import FROM, TO, TZ
from .route import BODY_ERRORS, KEPT_ERRORS, Route

STREAM = "text/event-stream"
HEARTBEATS, STREAMS, HISTORY = ("heartbeats",), ("streams",), ("history",)

ROUTES = (
    Route("post", HEARTBEAT, heartbeats.SingleHeartbeat(), "Record a heartbeat", model.HeartbeatReply,
          model.Heartbeat, errors=BODY_ERRORS, tags=HEARTBEATS),
    Route("post", f"{COURSE}/leave", courses.leave, "End a session", None, model.Leave,
          status=204, errors=BODY_ERRORS, tags=HEARTBEATS, has_text_body=True),
    Route("get", f"{COURSE}/count", courses.count, "The count of a course", model.Count,
          query=(selection.CHAPTERS,)),
    Route("get", "/v1/counts", courses.counts, "Counts of many courses", model.Counts,
          query=(selection.COUNTED, selection.CHAPTERS), has_etag=True),
    Route("post", "/v1/counts", courses.counts, "Counts of more courses than a query holds", model.Counts,
          selection.Courses, errors=BODY_ERRORS, has_etag=True),
    Route("get", f"{COURSE}/viewers", courses.viewers, "The named viewers of a course", model.Roster,
          query=(courses.LIMIT, courses.CURSOR, courses.CHAPTER), is_public=False),
    Route("delete", f"{COURSE}/viewers/{{viewer_id}}", courses.evict, "Remove a viewer with all sessions",
          query=(courses.BAN,), status=204, is_public=False),
    Route("post", "/v1/heartbeats", heartbeats.heartbeats, "Many heartbeats in one call",
          heartbeats.HeartbeatResults, heartbeats.HeartbeatBatch, errors=BODY_ERRORS, tags=HEARTBEATS,
          is_public=False),
    Route("get", f"{COURSE}/live", sse.CourseStream(), "Counts of a course as they change", STREAM,
          query=(*selection.STREAM_OPTIONS, sse.PING), tags=STREAMS, operation_id="get_live_course"),
    Route("get", SOCKET, ws.upgrade, "WebSocket: be counted while it is open, receive changes",
          query=selection.STREAM_OPTIONS, status=101, errors=(403, 422, 426, 429), tags=STREAMS),
    Route("get", "/v1/live", sse.CatalogueStream(), "Counts of a catalogue as they change", STREAM,
          query=(selection.STREAMED, *selection.STREAM_OPTIONS, sse.PEOPLE, sse.PING), tags=STREAMS,
          operation_id="get_live_catalogue"),
    Route("post", "/v1/live", sse.CatalogueStream(), "Live counts of more courses than a query holds", STREAM,
          selection.Watch, query=(sse.PING,), errors=BODY_ERRORS, tags=STREAMS,
          operation_id="post_live_catalogue"),
    Route("get", "/v1/stats", courses.stats, "Live totals over all courses", model.Stats,
          query=(courses.SEARCH, courses.PAGE, courses.CURSOR), is_public=False),
    Route("get", "/v1/titles", titles.titles, "Titles of courses and chapters", titles.Named,
          query=(titles.COURSES, titles.SEARCH, titles.LIMIT)),
    Route("get", "/v1/me", titles.me, "The caller's role and courses", titles.Me, is_public=False),
    Route("get", f"{COURSE}/history", history.history, "History: peak, average and viewer minutes",
          past.History, query=(history.STEP, FROM, TO, history.CHAPTER, TZ, history.FORMAT),
          errors=KEPT_ERRORS, tags=HISTORY, has_etag=True, is_public=False,
          media=("application/json", "text/csv")),
    Route("get", f"{COURSE}/history/calendar", history.calendar, "History by weekday and hour",
          past.Calendar, query=(history.WEEKS, TZ), errors=KEPT_ERRORS, tags=HISTORY, is_public=False),
    Route("get", f"{COURSE}/history/heatmap", history.heatmap, "History of chapters by quarters of an hour",
          past.Heatmap, query=(FROM, TO, TZ, history.CHAPTERS), errors=KEPT_ERRORS, tags=HISTORY,
          is_public=False),
    Route("get", "/v1/history/export", export.export, "Closed quarters of all courses, in order of closing",
          past.ExportRow, query=(export.CURSOR, export.LIMIT, export.FORMAT), errors=KEPT_ERRORS,
          tags=HISTORY, is_public=False, media=(export.LINES, "text/csv"),
          headers=(("Presence-Cursor", "the cursor of the next page, even if it does not exist yet"),)),
    Route("get", "/livez", operations.livez),
    Route("get", "/readyz", operations.readyz),
    Route("get", "/metrics", operations.metrics),
    Route("get", "/openapi.json", operations.openapi),
    Route("get", "/asyncapi.json", operations.asyncapi),
)  # fmt: skip


def mounted() -> list[StarletteRoute]:
    """The routes for the app's router."""
    methods: defaultdict[str, list[str]] = defaultdict(list)
    for route in ROUTES:
        methods[route.path].append(route.method.upper())
    return [route.mounted(methods[route.path]) for route in ROUTES]

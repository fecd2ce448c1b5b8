"""The one table of routes: the app mounts it, and OpenAPI is made from it. A new route is a new row here.

Files and pages are those of web.pages. web.dispatch takes heartbeats and WebSockets past the router.
"""

from __future__ import annotations

from starlette.routing import Route as StarletteRoute

from ... import model
from .. import selection
from ..paths import COURSE, HEARTBEAT, SOCKET
from ..sse import endpoint as sse
from ..ws import endpoint as ws
from . import courses, heartbeats, operations
from .route import BODY_ERRORS, Route

STREAM = "text/event-stream"
HEARTBEATS, STREAMS = ("heartbeats",), ("streams",)

ROUTES = (
    Route("post", HEARTBEAT, heartbeats.SingleHeartbeat(), "A session says: I am here", model.HeartbeatReply,
          model.Heartbeat, errors=BODY_ERRORS, tags=HEARTBEATS),
    Route("post", f"{COURSE}/leave", courses.leave, "A session says: I am gone", None, model.Leave,
          status=204, errors=BODY_ERRORS, tags=HEARTBEATS, has_text_body=True),
    Route("get", f"{COURSE}/count", courses.count, "Who is there, in numbers", model.Count,
          query=(selection.CHAPTERS,)),
    Route("get", "/v1/counts", courses.counts, "Numbers of many courses", model.Counts,
          query=(selection.COUNTED, selection.CHAPTERS), has_etag=True),
    Route("post", "/v1/counts", courses.counts, "The same of more courses than a query holds", model.Counts,
          selection.Courses, errors=BODY_ERRORS, has_etag=True),
    Route("get", f"{COURSE}/viewers", courses.viewers, "Who is there, by name", model.Roster,
          query=(courses.LIMIT, courses.CURSOR, courses.CHAPTER), is_public=False),
    Route("delete", f"{COURSE}/viewers/{{viewer_id}}", courses.evict, "Remove a viewer with all sessions",
          status=204, is_public=False),
    Route("post", "/v1/heartbeats", heartbeats.heartbeats, "Many heartbeats in one call",
          heartbeats.HeartbeatResults, heartbeats.HeartbeatBatch, errors=BODY_ERRORS, tags=HEARTBEATS,
          is_public=False),
    Route("get", f"{COURSE}/live", sse.CourseStream(), "Counts of a course as they change", STREAM,
          query=selection.TOLD, tags=STREAMS, operation_id="get_live_course"),
    Route("get", SOCKET, ws.upgrade, "WebSocket: join, be counted while it is open, hear of changes",
          query=selection.TOLD, status=101, errors=(403, 422, 426, 429), tags=STREAMS),
    Route("get", "/v1/live", sse.CatalogueStream(), "Counts of a catalogue as they change", STREAM,
          query=(selection.STREAMED, *selection.TOLD), tags=STREAMS, operation_id="get_live_catalogue"),
    Route("post", "/v1/live", sse.CatalogueStream(), "The same of more courses than a query holds", STREAM,
          selection.Watch, errors=BODY_ERRORS, tags=STREAMS, operation_id="post_live_catalogue"),
    Route("get", "/v1/stats", courses.stats, "Live totals over all courses", model.Stats, is_public=False),
    Route("get", "/livez", operations.livez),
    Route("get", "/readyz", operations.readyz),
    Route("get", "/metrics", operations.metrics),
    Route("get", "/openapi.json", operations.openapi),
)  # fmt: skip


def mounted() -> list[StarletteRoute]:
    """What the app's router is made of."""
    return [route.mounted() for route in ROUTES]

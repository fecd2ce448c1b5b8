"""`GET /v1/history/export`: closed quarters of all courses, page by page, for warehouses. Service role."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ...auth.roles import Action
from ...errors import NotFound
from ...store.history.model import ExportRow
from ..query import Choice, Text, Whole
from ..request import enter, service_of
from . import csv

COLUMNS = tuple(ExportRow.model_fields)
LINES = "application/x-ndjson"
LIMIT = Whole("limit", 1, 10_000, default=1_000)
CURSOR, FORMAT = Text("cursor"), Choice("format", ("ndjson", "csv"))


async def export(request: Request) -> Response:
    """A page of rows. Its header has the cursor of the next one, even if that does not exist yet."""
    await enter(request, Action.EXPORT)
    service = service_of(request)
    if not service.settings.history:
        raise NotFound("history is not kept here (PRESENCE_HISTORY)")
    kind = FORMAT.read(request)
    page = await service.export.page(CURSOR.read(request), LIMIT.read(request))
    headers = {"presence-cursor": page.cursor, "cache-control": "no-store"}
    if kind == "csv":
        rows = ([getattr(row, name) for name in COLUMNS] for row in page.rows)
        return Response(csv.table(COLUMNS, rows), 200, headers, csv.MEDIA_TYPE)
    text = b"".join(orjson.dumps(row.model_dump()) + b"\n" for row in page.rows)
    return Response(text, 200, headers, LINES)

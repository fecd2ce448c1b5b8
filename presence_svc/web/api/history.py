"""The history of a course over HTTP: steps, calendar, heatmap. Raises Invalid if a range is too long."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import datetime
from hashlib import blake2b
from typing import cast
from zoneinfo import ZoneInfo

import orjson
from starlette.requests import Request
from starlette.responses import Response

from ...auth.roles import Action
from ...errors import Invalid, NotFound
from ...store.history.answers import HistoryAnswers, steps_of
from ...store.history.model import History, Step
from .. import body
from ..etag import is_known
from ..query import Choice, OneId, Whole
from ..request import enter, json, service_of
from . import csv, ranges

POINTS = 10_000
QUARTERS = 2_688
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
DEFAULT_MS = {"15m": DAY_MS, "1m": 3 * HOUR_MS, "1h": 7 * DAY_MS, "1d": 28 * DAY_MS}
STEP, FORMAT, CHAPTER = (
    Choice("step", tuple(DEFAULT_MS)),
    Choice("format", ("json", "csv")),
    OneId("chapter_id"),
)
WEEKS, CHAPTERS = Whole("weeks", 1, 52, default=4), Whole("limit", 1, 200, default=50)
COLUMNS = ("t", "peak", "average", "viewer_minutes", "unique", "partial")


async def history(request: Request) -> Response:
    """`GET /v1/courses/{course_id}/history`."""
    course_id = body.course_id(request.scope)
    answers = await _entered(request, course_id)
    chapter_id, here = CHAPTER.read(request), ranges.TZ.read(request)
    step, kind = cast(Step, STEP.read(request)), FORMAT.read(request)
    coverage = await answers.coverage(course_id)
    begin, end = ranges.window(request, here, coverage.now, DEFAULT_MS[step])
    wanted = await steps_of(step, begin, end, here, limit=POINTS + 1)
    if len(wanted) > POINTS:
        raise Invalid(
            [("/from", f"gives more than {POINTS:,} steps: ask for a shorter range or longer steps")]
        )
    found = await answers.history(coverage, course_id, chapter_id, step, wanted, here)
    etag = _etag(found)
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    if kind == "csv":
        name = f"attachment; filename*=UTF-8''history-{course_id.translate(UNSAFE)}-{step}.csv"
        return Response(as_csv(found), 200, headers | {"content-disposition": name}, csv.MEDIA_TYPE)
    return json(found.model_dump(by_alias=True), headers)


UNSAFE = {ord(char): "_" for char in ":|~=@+"}


async def calendar(request: Request) -> Response:
    """`GET /v1/courses/{course_id}/history/calendar`."""
    course_id = body.course_id(request.scope)
    answers = await _entered(request, course_id)
    weeks, here = WEEKS.read(request), ranges.TZ.read(request)
    found = await answers.calendar(await answers.coverage(course_id), course_id, weeks, here)
    return json(found.model_dump(by_alias=True), {"cache-control": "private, no-cache"})


async def heatmap(request: Request) -> Response:
    """`GET /v1/courses/{course_id}/history/heatmap`."""
    course_id = body.course_id(request.scope)
    answers = await _entered(request, course_id)
    here, limit = ranges.TZ.read(request), CHAPTERS.read(request)
    coverage = await answers.coverage(course_id)
    begin, end = ranges.window(request, here, coverage.now, DAY_MS)
    wanted = await steps_of("15m", begin, end, here, limit=QUARTERS + 1)
    if len(wanted) > QUARTERS:
        raise Invalid([("/from", f"gives more than {QUARTERS:,} quarters: ask for at most 28 days")])
    found = await answers.heatmap(coverage, course_id, wanted, here, limit)
    return json(found.model_dump(by_alias=True), {"cache-control": "private, no-cache"})


async def _entered(request: Request, course_id: str) -> HistoryAnswers:
    """Checks that the caller may read this course's history. Raises NotFound if history is off."""
    await enter(request, Action.HISTORY, course_id)
    service = service_of(request)
    if not service.settings.history:
        raise NotFound("history is not kept here (PRESENCE_HISTORY)")
    return service.history


def _etag(found: History) -> str:
    """A tag of everything except the time."""
    content = orjson.dumps(found.model_dump(exclude={"as_of"}))
    return f'W/"{urlsafe_b64encode(blake2b(content, digest_size=12).digest()).decode()}"'


def as_csv(found: History) -> bytes:
    """A line per step, which begins with the local time."""
    here = ZoneInfo(found.tz)
    columns = [getattr(found, name) for name in COLUMNS]
    rows = (
        (datetime.fromtimestamp(row[0] / 1000, here).isoformat(), *row) for row in zip(*columns, strict=True)
    )
    return csv.table(("time", *COLUMNS), rows)

"""OpenAPI 3.1, assembled from one table of operations and the pydantic models that validate."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from ... import __version__, model
from ...store.history import model as past

REF = "#/components/schemas/{model}"
ID = {"type": "string", "pattern": model.ID_PATTERN}


class HeartbeatBatch(BaseModel):
    """Up to 1,000 heartbeats of any courses."""

    heartbeats: Annotated[list[model.CourseHeartbeat], Field(min_length=1, max_length=1000)]


class HeartbeatResults(BaseModel):
    """For each heartbeat, in order, its reply or its problem."""

    results: list[model.HeartbeatReply | model.Problem]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route as a client sees it."""

    method: str
    path: str
    summary: str
    reply: type[BaseModel] | str | None = None
    body: type[BaseModel] | None = None
    query: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    errors: tuple[int, ...] = (401, 403, 422, 429, 503)
    text_body: bool = False
    has_etag: bool = False
    media: str = "application/json"
    also: str = ""  # another media type that can be asked for
    is_public: bool = True  # some settings of AUTH=jwt, or a leave token, let in who has no bearer token


def _range(low: int, high: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


def _ids(limit: int) -> dict[str, Any]:
    return {"type": "array", "items": ID, "minItems": 1, "maxItems": limit}


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values), "default": values[0]}


MOMENT = {"type": "string", "description": "ms since 1970, or ISO 8601"}
ZONE = {"type": "string", "description": "a time zone's name", "default": "UTC", "examples": ["Asia/Kolkata"]}
KEPT_ERRORS = (401, 403, 404, 422, 429, 503)
BODY_ERRORS = (400, 401, 403, 408, 413, 415, 422, 429, 503)
COURSE = "/v1/courses/{course_id}"
OPERATIONS = (
    Operation("post", f"{COURSE}/heartbeat", "A session says: I am here", model.HeartbeatReply,
              model.Heartbeat, errors=BODY_ERRORS),
    Operation("post", f"{COURSE}/leave", "A session says: I am gone", None, model.Leave, status=204,
              errors=BODY_ERRORS, text_body=True),
    Operation("get", f"{COURSE}/count", "Who is there, in numbers", model.Count),
    Operation("get", "/v1/counts", "Numbers of many courses", model.Counts,
              query={"course_id": _ids(200)}, has_etag=True),
    Operation("get", f"{COURSE}/viewers", "Who is there, by name", model.Roster, is_public=False,
              query={"limit": _range(1, 100, 20), "cursor": {"type": "string"}, "chapter_id": ID}),
    Operation("delete", f"{COURSE}/viewers/{{viewer_id}}", "Remove a viewer with all sessions",
              status=204, is_public=False),
    Operation("post", "/v1/heartbeats", "Many heartbeats in one call", HeartbeatResults,
              HeartbeatBatch, errors=BODY_ERRORS, is_public=False),
    Operation("get", f"{COURSE}/live", "Counts of a course as they change", "text/event-stream",
              query={"viewers": _range(0, 20, 0)}),
    Operation("get", f"{COURSE}/ws", "WebSocket: join, be counted while it is open, hear of changes", None,
              query={"viewers": _range(0, 20, 0)}, status=101, errors=(403, 422, 426, 429)),
    Operation("get", "/v1/live", "Counts of a catalogue as they change", "text/event-stream",
              query={"course_id": _ids(100), "viewers": _range(0, 20, 0)}),
    Operation("get", "/v1/stats", "Live totals over all courses", model.Stats, is_public=False,
              query={"q": {"type": "string", "maxLength": 128}, "limit": _range(1, 200, 50),
                     "cursor": {"type": "string"}}),
    Operation("get", f"{COURSE}/history", "What was: peak, average and viewer minutes by step", past.History,
              query={"step": _one_of("15m", "1m", "1h", "1d"), "from": MOMENT, "to": MOMENT, "chapter_id": ID,
                     "tz": ZONE, "format": _one_of("json", "csv")},
              errors=KEPT_ERRORS, has_etag=True, is_public=False, also="text/csv"),
    Operation("get", f"{COURSE}/history/calendar", "When it is watched: by weekday and hour", past.Calendar,
              query={"weeks": _range(1, 52, 4), "tz": ZONE}, errors=KEPT_ERRORS, is_public=False),
    Operation("get", f"{COURSE}/history/heatmap", "Its chapters by quarters of an hour", past.Heatmap,
              query={"from": MOMENT, "to": MOMENT, "tz": ZONE, "limit": _range(1, 200, 50)},
              errors=KEPT_ERRORS, is_public=False),
    Operation("get", "/v1/history/export", "Closed quarters of all courses", past.ExportRow,
              query={"cursor": {"type": "string"}, "limit": _range(1, 10_000, 1_000),
                     "format": _one_of("ndjson", "csv")},
              errors=KEPT_ERRORS, is_public=False, media="application/x-ndjson", also="text/csv"),
)  # fmt: skip


def document(*, names_itself: bool = False) -> dict[str, Any]:
    """The whole description; with `names_itself` (AUTH=trusted) a body says whose it is, and no token does.

    A batch always says it: nobody but a service may send one.
    """
    models = {m for op in OPERATIONS for m in (op.reply, op.body) if isinstance(m, type)} | {model.Problem}
    _, schemas = models_json_schema(
        [(m, "validation") for m in sorted(models, key=lambda m: m.__name__)], ref_template=REF
    )
    for name in ("CourseHeartbeat", *(("Heartbeat", "Leave") if names_itself else ())):
        schema = schemas["$defs"][name]
        schema["properties"]["viewer_id"] = ID
        schema["required"] = ["viewer_id", *schema.get("required", [])]
    paths: dict[str, dict[str, Any]] = {}
    for op in OPERATIONS:
        described = paths.setdefault(op.path, {})[op.method] = _operation(op)
        if not op.is_public and not names_itself:
            described["security"] = [{"bearer": []}]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Live-viewer presence", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "a viewer's token or a service's API key; none with AUTH=trusted",
                }
            },
        },
        "security": [{}, {"bearer": []}],
    }


def _operation(op: Operation) -> dict[str, Any]:
    in_path = re.findall(r"{(\w+)}", op.path)
    parameters = [{"name": n, "in": "path", "required": True, "schema": ID} for n in in_path]
    parameters += [
        {"name": name, "in": "query", "required": "minItems" in schema, "schema": schema}
        for name, schema in op.query.items()
    ]
    described: dict[str, Any] = {
        "summary": op.summary,
        "operationId": f"{op.method}_{op.path.split('/')[-1].strip('{}')}",
        "parameters": parameters,
        "responses": {str(op.status): _response(op.reply, op.media, op.also)}
        | {str(status): _problem() for status in op.errors},
    }
    if op.has_etag:
        parameters.append({"name": "If-None-Match", "in": "header", "schema": {"type": "string"}})
        described["responses"]["304"] = {"description": "Nothing has changed but the clock"}
        for status in ("200", "304"):
            described["responses"][status]["headers"] = {"ETag": {"schema": {"type": "string"}}}
    if op.path == "/v1/history/export":
        cursor = {"schema": {"type": "string"}, "description": "where the next page begins"}
        described["responses"]["200"]["headers"] = {"Presence-Cursor": cursor}
    if op.path.endswith("/live"):
        described["operationId"] += "_course" if in_path else "_catalogue"
    if op.body:
        media = ["application/json", *(["text/plain"] if op.text_body else [])]
        content = {kind: {"schema": _ref(op.body)} for kind in media}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _response(reply: type[BaseModel] | str | None, media: str, also: str) -> dict[str, Any]:
    if reply is None:
        return {"description": "Done"}  # also: from here on it is a WebSocket
    if isinstance(reply, str):
        return {"description": "A stream", "content": {reply: {"schema": {"type": "string"}}}}
    content: dict[str, Any] = {media: {"schema": _ref(reply)}}
    if also:
        content[also] = {"schema": {"type": "string"}}
    return {"description": "OK", "content": content}


def _problem() -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref(model.Problem)}}
    return {"description": "A problem", "content": content}


def _ref(kind: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=kind.__name__)}

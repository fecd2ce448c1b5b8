"""OpenAPI 3.1, made from the table of routes and the pydantic models that validate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ... import __version__, model
from ..query import ID_SCHEMA
from .examples import EVENT_STREAM, EXAMPLES
from .frames import EVENTS, MODELS
from .route import Route

REF = "#/components/schemas/{model}"
TAGS = {
    "heartbeats": "Sessions report that they are present: one at a time, or many for a backend.",
    "courses": "Who is present now, in numbers and by name.",
    "streams": "Changes as they happen. Each frame is described in asyncapi.json, with the same schemas.",
    "history": "The past, by minutes, quarters of an hour and days.",
}


def document(routes: Sequence[Route], *, names_itself: bool = False) -> dict[str, Any]:
    """The whole description. `names_itself` (AUTH=trusted): the body, not a token, names the viewer.

    In a batch the body always does, because only services may send one.
    """
    routes = [route for route in routes if route.summary]
    named = [m for route in routes for m in (route.reply, route.body) if isinstance(m, type)]
    models: set[type[BaseModel]] = {*named, *MODELS, model.Problem}
    _, schemas = models_json_schema(
        [(m, "validation") for m in sorted(models, key=lambda m: m.__name__)], ref_template=REF
    )
    for name in ("CourseHeartbeat", *(("Heartbeat", "Leave") if names_itself else ())):
        schema = schemas["$defs"][name]
        schema["properties"]["viewer_id"] = ID_SCHEMA
        schema["required"] = ["viewer_id", *schema.get("required", [])]
    for name, example in EXAMPLES.items():
        if name in schemas["$defs"]:
            schemas["$defs"][name]["examples"] = [example]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        described = paths.setdefault(route.path, {})[route.method] = _operation(route)
        if not route.is_public and not names_itself:
            described["security"] = [{"bearer": []}]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Live-viewer presence", "version": __version__},
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
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


def _operation(route: Route) -> dict[str, Any]:
    in_path = re.findall(r"{(\w+)}", route.path)
    parameters = [{"name": n, "in": "path", "required": True, "schema": ID_SCHEMA} for n in in_path]
    parameters += [
        {"name": one.name, "in": "query", "required": one.is_required, "schema": one.schema}
        for one in route.query
    ]
    described: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.operation_id or f"{route.method}_{route.path.split('/')[-1].strip('{}')}",
        "tags": list(route.tags),
        "parameters": parameters,
        "responses": {str(route.status): _response(route)}
        | {str(status): _problem() for status in route.errors},
    }
    if route.has_etag:
        parameters.append({"name": "If-None-Match", "in": "header", "schema": {"type": "string"}})
        described["responses"]["304"] = {"description": "Nothing has changed but the clock"}
        for status in ("200", "304"):
            described["responses"][status]["headers"] = {"ETag": {"schema": {"type": "string"}}}
    if route.body:
        media = ["application/json", *(["text/plain"] if route.has_text_body else [])]
        content = {kind: {"schema": _ref(route.body)} for kind in media}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _response(route: Route) -> dict[str, Any]:
    reply = route.reply
    if reply is None:
        return {"description": "Done"}  # also for a WebSocket's handshake
    if isinstance(reply, str):
        told = {name: _ref(kind) for name, kind in EVENTS.items()}
        content = {reply: {"schema": {"type": "string"}, "example": EVENT_STREAM, "x-events": told}}
        return {"description": "A stream; x-events has the data of each event", "content": content}
    first, *others = route.media
    content = {first: {"schema": _ref(reply)}}
    content |= {media: {"schema": {"type": "string"}} for media in others}
    headers = {name: {"description": what, "schema": {"type": "string"}} for name, what in route.headers}
    return {"description": "OK", "content": content} | ({"headers": headers} if headers else {})


def _problem() -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref(model.Problem)}}
    return {"description": "A problem", "content": content}


def _ref(kind: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=kind.__name__)}

"""AsyncAPI 3.1 for what is told as it happens: server-sent events, WebSockets, the Redis channel.

Made from the models of web.api.frames. AsyncAPI has no binding for server-sent events: they are messages of
an http channel, and `x-sse-event` is the name that a frame has there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from ... import __version__
from ...model import ID_PATTERN
from ..paths import COURSE, SOCKET
from . import frames
from .frames import Kind
from .openapi import REF

HOST = {"host": {"default": "127.0.0.1:8000", "description": "where the service listens"}}
REDIS = {"host": {"default": "localhost:6379", "description": "PRESENCE_REDIS_URL"}}
OF_A_COURSE = {"course_id": {"description": f"an id: {ID_PATTERN}"}}
TOLD = {
    "viewers": {"type": "integer", "minimum": 0, "maximum": 20, "description": "how many names to send"},
    "chapters": {"type": "string", "description": "all, none, or the ids of some"},
    "order": {"type": "string", "enum": ["recent", "joined"]},
}
STREAM = TOLD | {
    "ping": {
        "type": "integer",
        "minimum": 5,
        "maximum": 15,
        "description": "seconds between comments; by default 15",
    }
}
CATALOGUE = STREAM | {
    "course_id": {"type": "array", "items": {"type": "string", "pattern": ID_PATTERN}},
    "people": {"type": "integer", "enum": [0, 1], "description": "1: also distinct viewers over all courses"},
}


def document(key_prefix: str) -> dict[str, Any]:
    """The whole description; the channel's name begins with the prefix of this installation's keys."""
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in sorted(frames.MODELS, key=lambda kind: kind.__name__)],
        ref_template=REF,
    )
    course = {name: kind for name, kind in frames.EVENTS.items() if name not in ("refused", "people")}
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Live-viewer presence, as it happens",
            "version": __version__,
            "description": "The calls that are answered once are in openapi.json.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "http": {"host": "{host}", "protocol": "http", "variables": HOST},
            "ws": {"host": "{host}", "protocol": "ws", "variables": HOST},
            "redis": {"host": "{host}", "protocol": "redis", "variables": REDIS},
        },
        "channels": {
            "course": _channel("http", f"{COURSE}/live", "Counts of a course as they change", _sse(course)),
            "catalogue": _channel("http", "/v1/live", "Counts of a catalogue", _sse(frames.EVENTS)),
            "socket": _channel(
                "ws",
                SOCKET,
                "Be counted while it is open, and receive changes",
                _messages(frames.ON_A_SOCKET) | _messages(frames.BY_A_CLIENT, "client-"),
                bindings={"ws": {"method": "GET", "query": _query(TOLD)}},
            ),
            "changes": _channel(
                "redis",
                f"{key_prefix}:{{tag}}:changes",
                "One message per change, for other services. On a Cluster the tag is that of the course's"
                " partition, followed by : and the id.",
                _messages(frames.ON_THE_CHANNEL),
                {"tag": {"description": "the course's id in braces, as in {python-101}"}},
            ),
        },
        "operations": {
            "tell_course": _operation("send", "course", course, _http("GET", STREAM)),
            "tell_catalogue": _operation("send", "catalogue", frames.EVENTS, _http("GET", CATALOGUE)),
            "tell_socket": _operation("send", "socket", frames.ON_A_SOCKET),
            "hear_socket": _operation("receive", "socket", frames.BY_A_CLIENT, prefix="client-"),
            "publish_change": _operation("send", "changes", frames.ON_THE_CHANNEL),
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _channel(
    server: str,
    address: str,
    title: str,
    messages: Mapping[str, Any],
    parameters: Mapping[str, Any] | None = None,
    bindings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "address": address,
        "description": title,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": messages,
    }
    parameters = parameters or (OF_A_COURSE if "{course_id}" in address else {})
    more = {"parameters": parameters, "bindings": bindings}
    return made | {name: value for name, value in more.items() if value}


def _messages(kinds: Mapping[str, Kind], prefix: str = "") -> dict[str, Any]:
    return {
        prefix + name: {
            "name": name,
            "summary": (kind.__doc__ or "").partition("\n")[0],
            "payload": {"$ref": REF.format(model=kind.__name__)},
        }
        for name, kind in kinds.items()
    }


def _sse(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    return {name: message | {"x-sse-event": name} for name, message in _messages(kinds).items()}


def _operation(
    action: str, channel: str, kinds: Mapping[str, Kind], bindings: Any = None, *, prefix: str = ""
) -> dict[str, Any]:
    made = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{prefix}{name}"} for name in kinds],
    }
    return made | ({"bindings": bindings} if bindings else {})


def _http(method: str, query: Mapping[str, Any]) -> dict[str, Any]:
    return {"http": {"method": method, "query": _query(query), "bindingVersion": "0.3.0"}}


def _query(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}

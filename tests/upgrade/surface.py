"""What others build on, as a running service shows it: routes with their fields, frames, problems, metrics.

Taken of a former version by tests/upgrade/former.py and of this one by the tests, which compare the two.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx2
from redis import Redis
from websockets.sync.client import connect

from tests.rig import Service

COURSE = "surface"
BEAT = {"viewer_id": "u1", "name": "Ada", "avatar_url": "https://x.example/a.png", "chapter_id": "ch-1"}
Surface = dict[str, dict[str, list[str]]]


def surface(service: Service, redis_url: str) -> Surface:
    """By kind and name, what there is: all that a client can have come to rely on."""
    with httpx2.Client(base_url=service.url, timeout=10) as http:
        return {
            **_routes(http.get("/openapi.json").json()),
            "frames": _frames(service, http, redis_url),
            "problems": _problems(http),
            "metrics": _metrics(http.get("/metrics").text),
        }


def settings_of(command: list[str], cwd: str, env: dict[str, str]) -> list[str]:
    """The variables that a version reads, asked of its own code."""
    code = "from presence_svc.settings import Settings; print(*Settings.model_fields)"
    done = subprocess.run(
        [*command, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return sorted(f"PRESENCE_{name.upper()}" for name in done.stdout.split())


def _routes(document: dict[str, Any]) -> Surface:
    """Of each route: its query, and the fields of its body and of its first success, with dots between."""
    found: Surface = {"query": {}, "body": {}, "reply": {}}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            route = f"{method.upper()} {path}"
            asked = [one["name"] for one in operation.get("parameters", ()) if one.get("in") == "query"]
            found["query"][route] = sorted(asked)
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            found["body"][route] = sorted(set(_fields(body.get("schema", {}), document)))
            success: dict[str, Any] = next(
                (one for code, one in operation["responses"].items() if code[0] == "2"), {}
            )
            reply = success.get("content", {}).get("application/json", {})
            found["reply"][route] = sorted(set(_fields(reply.get("schema", {}), document)))
    return found


def _fields(schema: dict[str, Any], document: dict[str, Any], depth: int = 0) -> Iterator[str]:
    """The names of all fields, those of objects and lists within behind a dot."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _fields(part, document, depth)
    if "items" in schema:
        yield from _fields(schema["items"], document, depth)
    for name, inner in schema.get("properties", {}).items():
        yield name
        if depth < 4:
            yield from (f"{name}.{field}" for field in _fields(inner, document, depth + 1))


def _frames(service: Service, http: httpx2.Client, redis_url: str) -> dict[str, list[str]]:
    """The fields of what a stream, a socket and the channel say of somebody who is there."""
    found: dict[str, list[str]] = {}
    with Redis.from_url(redis_url) as redis, redis.pubsub() as changes:
        changes.psubscribe("presence:*:changes")
        changes.get_message(timeout=5)
        http.post(f"/v1/courses/{COURSE}/heartbeat", json=BEAT).raise_for_status()
        while (message := changes.get_message(timeout=5)) and message["type"] != "pmessage":
            pass
        assert message is not None
        found["channel"] = sorted(json.loads(message["data"]))
    with http.stream("GET", f"/v1/courses/{COURSE}/live?viewers=5") as stream:
        event = ""
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            event = value if name == "event" else event
            if name == "data":
                found[f"sse {event}"] = sorted(json.loads(value))
            if {"sse count", "sse viewers"} <= found.keys():
                break
    with connect(f"ws://127.0.0.1:{service.port}/v1/courses/{COURSE}/ws?viewers=5") as socket:
        socket.send(json.dumps({"type": "join", "viewer_id": "u2"}))
        while not {"ws joined", "ws count", "ws viewers"} <= found.keys():
            told = json.loads(socket.recv(10))
            found[f"ws {told['type']}"] = sorted(told)
        socket.send("{}")
        while "ws error" not in found:
            told = json.loads(socket.recv(10))
            found[f"ws {told['type']}"] = sorted(told)
    return found


def _problems(http: httpx2.Client) -> dict[str, list[str]]:
    """The type of each kind of refusal, and the fields that it has."""
    beat = f"/v1/courses/{COURSE}/heartbeat"
    kind = {"content-type": "application/json"}
    replies = {
        "not JSON": http.post(beat, content="{", headers=kind),
        "a wrong field": http.post(beat, json={"viewer_id": "no blanks"}),
        "no such route": http.get("/v1/nothing"),
        "another method": http.put(beat, json=BEAT),
        "too large": http.post(beat, content=b'{"x":"' + b"y" * 9_000 + b'"}', headers=kind),
        "another type": http.post(beat, content="<a/>", headers={"content-type": "text/xml"}),
    }
    return {
        what: [str(reply.status_code), reply.json()["type"], *sorted(reply.json())]
        for what, reply in replies.items()
    }


def _metrics(text: str) -> dict[str, list[str]]:
    """Each metric that is ours, and its labels."""
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(presence_\w+?)(?:_created)?(?:\{(.*?)\})? ", text, re.M):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return {name: sorted(labels) for name, labels in sorted(found.items())}

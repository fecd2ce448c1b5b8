"""The description of streams, sockets and channel: valid, and true to every frame that tests hear.

The latter is held where frames are read, and where they are made: tests/described.py, tests/frame_log.py.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from websockets.asyncio.client import connect

from presence_svc.web.api import frames
from presence_svc.web.api.asyncapi import document
from tests import described
from tests.conftest import SpawnService
from tests.live.sse import Events
from tests.rig import Service
from tests.web.socket_client import SocketClient


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document("presence")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_is_valid(made: dict[str, Any], tools: Path) -> None:
    """AsyncAPI 3.1, by the schema that its specification publishes."""
    schemas = tools / "node_modules/@asyncapi/specs/schemas"
    schema = json.loads((schemas / "3.1.0-without-$id.json").read_text())

    wrong = [
        f"{error.json_path}: {error.message[:300]}" for error in Draft7Validator(schema).iter_errors(made)
    ]

    assert wrong == []
    with_a_fault = made | {"operations": {"tell": {"action": "shout"}}}
    assert list(Draft7Validator(schema).iter_errors(with_a_fault))


def test_every_reference_leads_somewhere(made: dict[str, Any]) -> None:
    """Channels, messages, schemas: nothing is named that is not there."""
    refs: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            refs.extend(value for key, value in node.items() if key == "$ref")
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(made)

    assert len(refs) > 40
    for ref in refs:
        found: Any = made
        for part in ref.removeprefix("#/").split("/"):
            found = found[part]
        assert found
    for schema in made["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_channel_has_the_installations_prefix() -> None:
    """KEY_PREFIX is the first word of its name."""
    assert document("school")["channels"]["changes"]["address"] == "school:{tag}:changes"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("count", {"course_id": "c1", "total": 1}),
        ("count", {**described.DOCUMENT, "course_id": "c1"}),
        ("bye", {"retry_ms": 5}),
        ("viewers", {"course_id": "c1", "viewers": [{}], "total": 1, "version": 1}),
    ],
)
def test_a_frame_that_is_otherwise_is_found(kind: str, data: dict[str, Any]) -> None:
    """The check would prove nothing if a lost or an added field passed it."""
    with pytest.raises(AssertionError):
        described.check_event(kind, data)
    with pytest.raises(KeyError):
        described.check_event("gossip", data)


async def test_the_service_tells_it_and_keeps_it(spawn_service: SpawnService, redis_url: str) -> None:
    """Served as it is made; a stream with names and people, a socket and its errors say what it says."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url, "PRESENCE_KEY_PREFIX": "presence"})
    async with httpx2.AsyncClient(base_url=service.url) as client:
        told = (await client.get("/asyncapi.json")).json()
    assert told == document("presence")

    async with (
        SocketClient(service, "c1", viewer_id="ada", viewers=3) as socket,
        Events(service.url, "/v1/live?course_id=c1&viewers=3&people=1") as events,
    ):
        await socket.say("gossip")
        await socket.until("error")
        await socket.say("chapter", chapter_id="ch-1")
        await socket.until("viewers")
        while {name for name, _ in events.seen if name} < {"count", "viewers", "people"}:
            await events.next()
        heard = {message["type"] for message in socket.told}

    assert {"joined", "error", "count", "viewers"} <= heard <= frames.ON_A_SOCKET.keys()


async def test_all_that_a_service_has_told_is_held_to_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads them: a service of tests/rig.py notes its frames, which are checked at its end."""
    told: list[tuple[str, str]] = []
    check = described.check

    def checked(channel: str, message: str, data: object) -> None:
        told.append((channel, message))
        check(channel, message, data)

    monkeypatch.setattr(described, "check", checked)
    with Service({"PRESENCE_REDIS_URL": redis_url, "PRESENCE_WORKERS": "2"}) as service:
        for course in ("c1", "c2", "c3", "c4"):
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            path = f"/v1/courses/{course}/live?viewers=3"
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            await asyncio.wait_for(reader.readuntil(b"event: viewers"), 10)
            async with connect(f"ws://127.0.0.1:{service.port}/v1/courses/{course}/ws") as socket:
                await socket.send("{}")
                await socket.recv()
            writer.close()

    assert {("catalogue", "count"), ("catalogue", "viewers"), ("socket", "error")} <= set(told)


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ("catalogue", 'event: count\nid: 1\ndata: {"course_id": "c1"}\n\n'),
        ("catalogue", 'event: bye\nretry: 5\ndata: {"why": 1}\n\n'),
        ("socket", '{"type": "left", "why": 1}'),
    ],
)
def test_a_wrong_frame_in_the_log_is_found(channel: str, text: str, tmp_path: Path) -> None:
    """The end of a service would prove nothing if it passed one."""
    log = tmp_path / "log"
    log.write_text(json.dumps([channel, text]) + "\n")

    with pytest.raises(AssertionError):
        described.check_log(log)

"""Holds what tests hear to what the service says of itself in /asyncapi.json.

Called by the readers of streams (tests/live/sse.py), sockets (tests/web/socket_client.py) and the channel
(tests/store/replica.py) for each frame; and by tests/rig.py, at a service's end, for all that it has told
(tests/frame_log.py). So every test in which somebody listens proves the description too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from presence_svc.web.api.asyncapi import document

DOCUMENT: dict[str, Any] = document("presence")


@cache
def validator(channel: str, message: str) -> Draft202012Validator:
    """Of one message's payload. Raises KeyError for what the description does not know."""
    payload = DOCUMENT["channels"][channel]["messages"][message]["payload"]
    return Draft202012Validator({**payload, "components": DOCUMENT["components"]})


def check(channel: str, message: str, data: object) -> None:
    """Fails, with what is wrong and where, when the message is not as described."""
    wrong = [f"{error.json_path}: {error.message}" for error in validator(channel, message).iter_errors(data)]
    assert not wrong, (channel, message, wrong, data)


def check_event(event: str, data: object) -> None:
    """A frame of a stream; comments, and its end, are none."""
    if event not in ("", "end"):
        check("catalogue", event, data)


def check_message(message: dict[str, Any]) -> None:
    """What a socket was told."""
    check("socket", message["type"], message)


def check_change(message: dict[str, Any]) -> None:
    """What the channel said."""
    check("changes", message["type"], message)


def check_log(path: Path) -> int:
    """All frames that a service has told, each once; how many they are."""
    said = set(path.read_text().splitlines()) if path.exists() else set()
    frames = [frame for channel, text in map(json.loads, said) for frame in _frames(channel, text)]
    for channel, message, data in frames:
        check(channel, message, data)
    return len(frames)


def _frames(channel: str, text: str) -> Iterator[tuple[str, str, Any]]:
    """(channel, message, data) of a socket's message, or of each event in a piece of a stream."""
    if channel == "socket":
        data = json.loads(text)
        yield channel, data["type"], data
        return
    for event in filter(None, text.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in event.splitlines())
        yield channel, fields["event"], json.loads(fields["data"])

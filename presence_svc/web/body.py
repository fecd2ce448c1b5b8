"""Reads a request's body within a size limit and a deadline, and parses it into a validated model."""

from __future__ import annotations

import asyncio
import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.types import Message, Receive, Scope

from .. import text
from ..errors import BadRequest, Encoded, Invalid, TooLarge, Unsupported
from ..metrics import Metrics
from ..model import Id
from .paths import ID
from .problems import invalid

Model = TypeVar("Model", bound=BaseModel)
BATCH_CAP = 1024 * 1024
JSON = (b"application/json",)
IDENTITY = b"identity"
JSON_OR_TEXT = (b"application/json", b"text/plain")
MARKS = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"{\0",
    b"\0",
)  # byte order marks, and how UTF-16 and UTF-32 begin without one
_ID = re.compile(ID)
_id: TypeAdapter[str] = TypeAdapter(Id)


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def headers(scope: Scope) -> dict[bytes, bytes]:
    """A request's headers by lower-case name; of repeated ones the first."""
    return dict(reversed(scope["headers"]))


async def read(
    scope: Scope, receive: Receive, *, cap: int, deadline_s: float, media: tuple[bytes, ...] = JSON
) -> bytes:
    """Reads the body. Raises TooLarge at `cap` bytes, before it reads more, even if it is chunked."""
    return await read_fields(headers(scope), receive, cap=cap, deadline_s=deadline_s, media=media)


async def read_fields(
    fields: dict[bytes, bytes],
    receive: Receive,
    *,
    cap: int,
    deadline_s: float,
    media: tuple[bytes, ...] = JSON,
) -> bytes:
    """As `read`, for callers that already have the headers by name."""
    kind = fields.get(b"content-type")
    if kind not in media and kind is not None and kind.split(b";", 1)[0].strip().lower() not in media:
        raise Unsupported(f"send {' or '.join(m.decode() for m in media)}")
    if fields.get(b"content-encoding", IDENTITY).lower() not in (IDENTITY, b""):
        raise Encoded("send the body uncompressed, without a Content-Encoding")
    length = fields.get(b"content-length")
    if length is not None and length.isdigit() and int(length[-20:]) > cap:  # it may have leading zeros
        raise TooLarge("the body is too large")
    # A body nearly always arrives in one piece. Until its first byte the server's own deadline applies.
    message = await receive()
    body = _part(message, cap)
    if message.get("more_body"):
        try:
            async with asyncio.timeout(deadline_s):
                return await _rest(body, receive, cap)
        except TimeoutError:
            raise BadRequest("the body did not arrive in time") from None
    return body


async def _rest(begun: bytes, receive: Receive, cap: int) -> bytes:
    body, more = bytearray(begun), True
    while more:
        message = await receive()
        body += _part(message, cap - len(body))
        more = message.get("more_body", False)
    return bytes(body)


def _part(message: Message, limit: int) -> bytes:
    """The part of a body in a message. Raises BadRequest if the client is gone, TooLarge beyond `limit`."""
    if message["type"] == "http.disconnect":
        raise BadRequest("the body is not complete")
    part: bytes = message.get("body", b"")
    if len(part) > limit:
        raise TooLarge("the body is too large")
    return part


def parse(body: bytes, metrics: Metrics) -> dict[str, Any]:
    """Parses the JSON object in a body. Raises BadRequest (not JSON) or Invalid (not an object)."""
    try:
        value = text.loads(body, metrics.repaired.inc)
    except orjson.JSONDecodeError as error:
        wanted = " (send UTF-8 without a byte order mark)" if body.startswith(MARKS) else ""
        raise BadRequest(f"the body is not JSON: {error}{wanted}") from None
    if not isinstance(value, dict):
        raise Invalid([("", "must be an object")])
    return value


def validate(model: type[Model], value: Any, *base: str | int) -> Model:
    """Validates by a model. Raises Invalid, with a JSON pointer for each wrong field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(error, *base) from None


def course_id(scope: Scope) -> str:
    """The course in the path. Raises Invalid."""
    return checked_id(scope["path_params"]["course_id"], "/course_id")


def checked_id(value: str, pointer: str) -> str:
    """The same id. Raises Invalid if it is malformed."""
    if _ID.fullmatch(value):
        return value
    try:
        return _id.validate_python(value)
    except ValidationError as error:
        raise Invalid([(pointer, error.errors()[0]["msg"])]) from None

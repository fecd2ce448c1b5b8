"""Every error as RFC 9457 problem+json, whether from our code, the framework or a bug."""

from __future__ import annotations

import logging
import math
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..auth.caller import TokenRefused
from ..auth.rates import rate_limit_fields
from ..auth.token_bucket import OverRate
from ..errors import Encoded, Invalid, Limited, PresenceError, Unauthorized, Unavailable, UpgradeRequired
from ..logs import clean

log = logging.getLogger("presence.web")
MEDIA_TYPE = "application/problem+json"
BUG = {"type": "about:blank", "title": "Internal error", "status": 500, "detail": "an error in the service"}
_TITLES = {404: "Not found", 405: "Method not allowed"}


def problem(error: PresenceError) -> dict[str, Any]:
    """The body for this error."""
    body: dict[str, Any] = {
        "type": f"urn:presence:{type(error).__name__.lower()}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    if isinstance(error, Invalid):
        body["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in error.errors]
    return body


def headers_of(error: PresenceError) -> dict[str, str]:
    """The headers for this error: Retry-After in whole seconds, never 0; a challenge with every 401."""
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Limited | Unavailable):
        headers |= rate_limit_fields(error)
    if isinstance(error, Encoded):
        headers["accept-encoding"] = "identity"
    if isinstance(error, UpgradeRequired):
        headers |= {"upgrade": "websocket", "connection": "Upgrade"}
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = _challenge(error)
    return headers


def _challenge(error: Unauthorized) -> str:
    """RFC 6750: says why a token was refused; without a token it only says that one is needed."""
    refused = isinstance(error, TokenRefused)
    return f'Bearer error="invalid_token", error_description="{error.detail}"' if refused else "Bearer"


def problem_response(error: PresenceError) -> Response:
    return Response(orjson.dumps(problem(error)), error.status, headers_of(error), MEDIA_TYPE)


def invalid(error: ValidationError, *base: str | int) -> Invalid:
    """Turns pydantic's errors into JSON pointers below `base`."""
    return Invalid(
        [
            (_pointer(*base, *fault["loc"]), fault["msg"].removeprefix("Value error, "))
            for fault in error.errors(include_url=False, include_input=False)
        ]
    )


def _pointer(*parts: str | int) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


async def on_presence_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PresenceError)  # noqa: S101 - registered for this class
    if isinstance(error, OverRate):
        request.app.state.service.metrics.over_rate(error.policy)
    return problem_response(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handles Starlette's own 404 and 405."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    title = _TITLES.get(error.status_code, "Error")
    body = {
        "type": "about:blank",
        "title": title,
        "status": error.status_code,
        "detail": f"{request.method} is not allowed on this route" if error.status_code == 405 else title,
    }
    return Response(orjson.dumps(body), error.status_code, error.headers, MEDIA_TYPE)


async def on_bug(request: Request, error: Exception) -> Response:
    """Any other exception is a bug of ours: the client learns that, and no details."""
    log.error("unhandled %s in %s", type(error).__name__, clean(request.scope.get("path", ""), 200))
    return Response(orjson.dumps(BUG), 500, media_type=MEDIA_TYPE)


HANDLERS: dict[Any, Any] = {
    PresenceError: on_presence_error,
    HTTPException: on_http_error,
    Exception: on_bug,
}

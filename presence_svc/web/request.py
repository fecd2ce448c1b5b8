"""What every route asks of a request: the services, who calls, and what the query says; and a JSON answer."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from ..auth.caller import Caller
from ..auth.roles import Action
from ..errors import Invalid
from . import body
from .services import Services


def json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), 200, headers, "application/json")


def service_of(request: Request) -> Services:
    service: Services = request.app.state.service
    return service


def credentials(scope: Scope) -> tuple[bytes | None, str]:
    """What the gate asks for: the Authorization header, and the address for those who have none."""
    client = scope.get("client")
    return body.header(scope, b"authorization"), client[0] if client else ""


async def enter(request: Request, action: Action, *courses: str) -> Caller:
    """Who asks, if they may. Raises Unauthorized, Forbidden or Limited."""
    return await service_of(request).admission.enter(*credentials(request.scope), action, *courses)


def check_origin(request: Request) -> None:
    """For what changes something. Raises Forbidden for a page that may not."""
    request.app.state.handler.origins.check(body.headers(request.scope))


def course_ids(request: Request, limit: int) -> list[str]:
    """The courses in the query. Raises Invalid for none, too many, or ids that cannot be."""
    courses = request.query_params.getlist("course_id")
    if not 1 <= len(courses) <= limit:
        raise Invalid([("/course_id", f"give 1 to {limit} of them")])
    return [body.checked_id(course, f"/course_id/{i}") for i, course in enumerate(courses)]


def whole(request: HTTPConnection, name: str, default: int, low: int, high: int) -> int:
    """A whole number in the query. Raises Invalid outside of its range."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
        raise Invalid([(f"/{name}", f"must be a whole number from {low} to {high}")])
    return int(text)

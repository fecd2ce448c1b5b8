"""What every route needs: the services, the caller, and JSON answers."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from ..auth.caller import Caller
from ..auth.roles import Action
from . import body
from .services import Services


def json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), 200, headers, "application/json")


def service_of(request: Request) -> Services:
    service: Services = request.app.state.service
    return service


def credentials(scope: Scope) -> tuple[bytes | None, str]:
    """What admission needs: the Authorization header, and the client's address for those without one."""
    client = scope.get("client")
    return body.header(scope, b"authorization"), client[0] if client else ""


async def enter(request: Request, action: Action, *courses: str) -> Caller:
    """The caller, if the action is allowed. Raises Unauthorized, Forbidden or Limited."""
    return await service_of(request).admission.enter(*credentials(request.scope), action, *courses)


def check_origin(request: Request) -> None:
    """For routes that change something. Raises Forbidden if the page's origin is not allowed."""
    request.app.state.handler.origins.check(body.headers(request.scope))

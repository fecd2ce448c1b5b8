"""The description of the API: valid, complete, and true to what the routes do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from presence_svc import app
from presence_svc.web.openapi import document


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document()


def test_it_is_valid(described: dict[str, Any]) -> None:
    """OpenAPI 3.1, by the validator of the specification."""
    validate(described)

    assert described["openapi"].startswith("3.1")


def test_every_route_is_described(described: dict[str, Any]) -> None:
    """API9: the description is the only list: no /v1 route is missing from it, and none is invented."""
    mounted = [route for route in app._routes() if isinstance(route, Route) and route.path.startswith("/v1")]
    routes = {(route.path, method.lower()) for route in mounted for method in route.methods or ()}
    routes = {(path, method) for path, method in routes if method != "head"}
    told = {(path, method) for path, methods in described["paths"].items() for method in methods}

    assert routes
    assert routes == {(path, method) for path, method in told if path.startswith("/v1")}


def test_operations_are_told_apart(described: dict[str, Any]) -> None:
    """Generated clients name their methods by these."""
    names = [op["operationId"] for methods in described["paths"].values() for op in methods.values()]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"\w+", name) for name in names)


def test_every_error_is_a_problem(described: dict[str, Any]) -> None:
    """RFC 9457: each 4xx and 5xx has the media type and the schema of a problem."""
    for methods in described["paths"].values():
        for operation in methods.values():
            for status, reply in operation["responses"].items():
                if int(status) >= 400:
                    assert reply["content"].keys() == {"application/problem+json"}
    assert {"type", "title", "status", "detail"} <= set(
        described["components"]["schemas"]["Problem"]["properties"]
    )

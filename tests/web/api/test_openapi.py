"""The description of the API: valid, complete, and true to what the routes do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from presence_svc.auth.caller import Role
from presence_svc.auth.roles import Action, rights
from presence_svc.settings import Settings
from presence_svc.web.api.openapi import document
from presence_svc.web.api.routes import ROUTES, mounted


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document(ROUTES)


def test_it_is_valid(described: dict[str, Any]) -> None:
    """OpenAPI 3.1, by the validator of the specification."""
    validate(described)

    assert described["openapi"].startswith("3.1")


def test_every_route_is_described(described: dict[str, Any]) -> None:
    """API9: the description is the only list: no /v1 route is missing from it, and none is invented."""
    mounted_v1 = [route for route in mounted() if isinstance(route, Route) and route.path.startswith("/v1")]
    routes = {(route.path, method.lower()) for route in mounted_v1 for method in route.methods or ()}
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


def test_a_list_of_counts_is_conditional(described: dict[str, Any]) -> None:
    """What a client may send back, and what it then gets: the ETag, and a 304 without a body."""
    operation = described["paths"]["/v1/counts"]["get"]

    assert ("If-None-Match", "header") in {(one["name"], one["in"]) for one in operation["parameters"]}
    assert {"ETag"} == operation["responses"]["200"]["headers"].keys()
    assert {"ETag"} == operation["responses"]["304"]["headers"].keys()
    assert "content" not in operation["responses"]["304"]


@pytest.mark.parametrize("names_itself", [False, True])
def test_whoever_sends_many_says_whose_they_are(names_itself: bool) -> None:
    """An item of a batch names its viewer, with AUTH=jwt too; a single heartbeat's token does."""
    schemas = document(ROUTES, names_itself=names_itself)["components"]["schemas"]

    assert {"course_id", "viewer_id"} <= set(schemas["CourseHeartbeat"]["required"])
    assert ("viewer_id" in schemas["Heartbeat"].get("required", [])) == names_itself


def test_what_nobody_may_without_a_token_asks_for_one(described: dict[str, Any]) -> None:
    """As the table of roles has it, with all that settings can open opened."""
    closed = {
        (method, path)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if operation.get("security", described["security"]) == [{"bearer": []}]
    }
    opened = rights(Settings(auth="jwt", jwt_secret="s" * 32, allow_anonymous=True, public_counts=True))

    assert opened[Role.PUBLIC] == {Action.LEAVE, Action.HEARTBEAT, Action.COUNT}
    assert closed == {
        ("get", "/v1/courses/{course_id}/viewers"),
        ("delete", "/v1/courses/{course_id}/viewers/{viewer_id}"),
        ("post", "/v1/heartbeats"),
        ("get", "/v1/stats"),
        ("get", "/v1/courses/{course_id}/history"),
        ("get", "/v1/courses/{course_id}/history/calendar"),
        ("get", "/v1/courses/{course_id}/history/heatmap"),
        ("get", "/v1/history/export"),
        ("get", "/v1/me"),
    }
    assert all(
        "security" not in op
        for ops in document(ROUTES, names_itself=True)["paths"].values()
        for op in ops.values()
    )


def test_a_reply_speaks_of_nothing_that_it_lacks(described: dict[str, Any]) -> None:
    """Names in backquotes in a schema's description are its own properties."""
    for name, schema in described["components"]["schemas"].items():
        named = re.findall(r"`(\w+)`", schema.get("description", ""))
        assert set(named) <= schema["properties"].keys(), name

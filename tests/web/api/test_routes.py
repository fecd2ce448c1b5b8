"""The one table of routes: what is mounted is what is described, with the same limits."""

from __future__ import annotations

from starlette.requests import Request

from presence_svc.web.api.openapi import document
from presence_svc.web.api.route import Route
from presence_svc.web.api.routes import ROUTES, mounted
from presence_svc.web.query import Ids, Whole

WHOLE, IDS = Whole("limit", 1, 100, default=20), Ids("course_id", most=3)


async def nothing(request: Request) -> None:
    """Stands where an endpoint is."""


def test_a_new_row_is_mounted_and_described() -> None:
    """A route says all that it is in one place; query, errors and tags reach the description."""
    row = Route(
        "get",
        "/v1/new/{course_id}",
        nothing,
        "Something new",
        query=(WHOLE, IDS),
        errors=(503,),
        tags=("new",),
    )

    described = document([*ROUTES, row])["paths"]["/v1/new/{course_id}"]["get"]

    assert row.mounted(["GET"]).path == "/v1/new/{course_id}"
    assert [(one["name"], one["in"], one["required"]) for one in described["parameters"]] == [
        ("course_id", "path", True),
        ("limit", "query", False),
        ("course_id", "query", True),
    ]
    assert described["parameters"][1]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "default": 20,
    }
    assert described["tags"] == ["new"]
    assert described["responses"].keys() == {"200", "503"}


def test_no_two_rows_are_the_same() -> None:
    """The first of two would hide the other."""
    said = [(route.method, route.path) for route in ROUTES]

    assert len(said) == len(set(said)) == len(mounted())


def test_a_row_without_a_summary_is_not_described() -> None:
    """What operators ask is no part of the API."""
    paths = document(ROUTES)["paths"]

    assert {route.path for route in ROUTES if not route.summary}.isdisjoint(paths)
    assert {route.path for route in ROUTES if route.summary} == paths.keys()

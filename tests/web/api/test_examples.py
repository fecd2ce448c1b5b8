"""Each example of the API's description is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from presence_svc.web.api.examples import EVENT_STREAM, EXAMPLES
from presence_svc.web.api.openapi import document
from presence_svc.web.api.routes import ROUTES
from tests.described import check_event

DESCRIBED = document(ROUTES, names_itself=True)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_as_the_schema_says(name: str) -> None:
    """And has every field that a reply always has."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIBED["components"]}
    known = DESCRIBED["components"]["schemas"][name]["properties"]

    wrong = [error.message for error in Draft202012Validator(schema).iter_errors(EXAMPLES[name])]

    assert wrong == []
    assert EXAMPLES[name].keys() <= known.keys()
    assert DESCRIBED["components"]["schemas"][name]["examples"] == [EXAMPLES[name]]


def test_every_body_and_reply_has_one() -> None:
    """A route with a new model needs an example of it."""
    models = {
        model.__name__ for route in ROUTES for model in (route.reply, route.body) if isinstance(model, type)
    }

    assert models <= EXAMPLES.keys()


def test_the_streams_example_is_a_frame() -> None:
    """As asyncapi.json has it."""
    fields: dict[str, Any] = dict(line.split(": ", 1) for line in EVENT_STREAM.strip().splitlines())

    check_event(fields["event"], json.loads(fields["data"]))


def test_tags_are_told_and_used() -> None:
    """Each has its description, and each operation one of them."""
    told = {tag["name"] for tag in DESCRIBED["tags"]}
    used = {tag for methods in DESCRIBED["paths"].values() for one in methods.values() for tag in one["tags"]}

    assert told == used

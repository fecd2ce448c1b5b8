"""Parameters of a query: read, refused and described by one object."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from presence_svc.errors import Invalid
from presence_svc.web.query import Ids, OneId, Text, Whole

WHOLE, IDS = Whole("limit", 1, 100, default=20), Ids("course_id", most=3)


def asked(query: str) -> Request:
    return Request({"type": "http", "method": "GET", "headers": [], "query_string": query.encode()})


@pytest.mark.parametrize("text", ["0", "101", "-1", "1.0", "x", "", "٣", "1e1", "0000000001"])
def test_a_number_out_of_its_range(text: str) -> None:
    """422, and the pointer names the parameter."""
    with pytest.raises(Invalid) as refused:
        WHOLE.read(asked(f"limit={text}"))

    assert refused.value.errors[0][0] == "/limit"


@pytest.mark.parametrize(("query", "read"), [("", 20), ("limit=1", 1), ("limit=100", 100), ("limit=007", 7)])
def test_a_number_in_its_range(query: str, read: int) -> None:
    """None given is the default."""
    assert WHOLE.read(asked(query)) == read


@pytest.mark.parametrize(
    "query", ["", "course_id=", "course_id=a&course_id=b c", "&".join(["course_id=a"] * 4)]
)
def test_ids_that_cannot_be(query: str) -> None:
    """None, too many, or one that no id may look like."""
    with pytest.raises(Invalid):
        IDS.read(asked(query))


def test_what_may_be_left_out() -> None:
    """An id that is there is one; an empty text is none."""
    assert IDS.read(asked("course_id=a&course_id=b")) == ["a", "b"]
    assert (OneId("c").read(asked("")), OneId("c").read(asked("c=x"))) == (None, "x")
    assert (Text("t").read(asked("t=")), Text("t").read(asked("t=x"))) == (None, "x")
    with pytest.raises(Invalid):
        OneId("c").read(asked("c="))

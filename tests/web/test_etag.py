"""Conditional requests as RFC 9110 has them, wherever an ETag is given."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from presence_svc.web.etag import is_known

OURS = 'W/"abc-1_"'
KNOWN = {
    "the same": ['W/"abc-1_"'],
    "strong, as a proxy may make it": ['"abc-1_"'],
    "any": ["*"],
    "in a list": ['"x", W/"abc-1_" ,"y"'],
    "in a list without blanks": ['"x","abc-1_"'],
    "in a second line": ['"x"', '"abc-1_"'],
}
UNKNOWN = {
    "none": [],
    "empty": [""],
    "another": ['"abc-1"'],
    "without quotes": ["abc-1_"],
    "a part": ['"abc"', '"-1_"'],
    "a star among others": ['"x", *'],
    "a star in quotes": ['"*"'],
    "in other letters": ['W/"ABC-1_"'],
}


def asked(lines: list[str]) -> Request:
    headers = [(b"if-none-match", line.encode()) for line in lines]
    return Request({"type": "http", "method": "GET", "headers": headers})


@pytest.mark.parametrize("lines", KNOWN.values(), ids=KNOWN)
def test_who_has_it_already(lines: list[str]) -> None:
    """Section 13.1.2: compared weakly; also our strong tags, whose W/ a proxy may have added."""
    assert is_known(asked(lines), OURS)
    assert is_known(asked(lines), OURS.removeprefix("W/"))


@pytest.mark.parametrize("lines", UNKNOWN.values(), ids=UNKNOWN)
def test_who_has_not(lines: list[str]) -> None:
    """What only looks like it is another version."""
    assert not is_known(asked(lines), OURS)

"""Leave tokens: what a beacon, which carries no header, may end with one (S5, H4)."""

from __future__ import annotations

import httpx2
import pytest

from tests.auth.guarded import KEY, beat, count, leave
from tests.auth.issuer import Issuer, bearer


def test_a_beacon_leaves_with_its_leave_token(http: httpx2.Client, issuer: Issuer) -> None:
    """S5: no header, only the token of the last reply; the session is gone at once."""
    reply = beat(http, "beacon", issuer.token("ada"), session_id="s1").json()

    said = {"viewer_id": "ada", "session_id": "s1", "leave_token": reply["leave_token"]}

    assert leave(http, "beacon", said) == 204
    assert count(http, "beacon")["total"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"viewer_id": "bob"},
        {"session_id": "s2"},
        {"leave_token": "0" * 32},
        {"leave_token": ""},
        {"leave_token": "é"},
    ],
)
def test_a_leave_token_ends_its_session_and_no_other(
    http: httpx2.Client, issuer: Issuer, change: dict[str, str]
) -> None:
    """Another viewer, session or token: 401, and everybody stays."""
    reply = beat(http, "others", issuer.token("ada"), session_id="s1").json()
    beat(http, "others", issuer.token("ada"), session_id="s2")
    beat(http, "others", issuer.token("bob"), session_id="s1")
    said = {"viewer_id": "ada", "session_id": "s1", "leave_token": reply["leave_token"]}

    assert leave(http, "others", said | change) == 401
    assert count(http, "others")["total"] == 2


def test_a_leave_token_is_for_one_course_and_one_verb(http: httpx2.Client, issuer: Issuer) -> None:
    """It opens neither another course nor, as a bearer token, anything at all."""
    reply = beat(http, "home", issuer.token("ada")).json()
    beat(http, "away", issuer.token("ada"))
    said = {"viewer_id": "ada", "leave_token": reply["leave_token"]}

    assert leave(http, "away", said) == 401
    assert beat(http, "home", reply["leave_token"]).status_code == 401
    assert count(http, "away")["total"] == 1


def test_a_leave_with_a_token_needs_no_leave_token(http: httpx2.Client, issuer: Issuer) -> None:
    """The viewer's own bearer token, or a service's key for anybody."""
    for header in (issuer.token("ada"), KEY):
        beat(http, "bearer", issuer.token("ada"))

        assert leave(http, "bearer", {"viewer_id": "ada"}, **bearer(header)) == 204
        assert count(http, "bearer")["total"] == 0

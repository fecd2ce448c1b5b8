"""Leave tokens: what a beacon, which carries no header, may end with one (S5, H4)."""

from __future__ import annotations

import time

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


VISITOR = {"viewer_id": "made-up", "session_id": "0123456789abcdef", "anonymous": True, "seq": 2}


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("is_late", [False, True], ids=["leave-last", "heartbeat-last"])
def test_a_visitor_goes_before_the_first_answer(
    http: httpx2.Client, issuer: Issuer, soft: bool, is_late: bool
) -> None:
    """S5, S6, S7: no leave token yet; the session id alone ends the session, whichever comes first."""
    course = f"hasty.{soft}.{is_late}"
    said = {"viewer_id": "made-up", "session_id": "0123456789abcdef", "anonymous": True, "seq": 1}
    if is_late:
        assert leave(http, course, VISITOR | {"soft": soft}) == 204
    assert beat(http, course, None, **said).status_code == 200
    if not is_late:
        assert count(http, course)["total"] == 1
        assert leave(http, course, VISITOR | {"soft": soft}) == 204

    wait_for_nobody(http, course, 4.5 if soft else 0)


def wait_for_nobody(http: httpx2.Client, course: str, patience_s: float) -> None:
    """A soft leave is a leave after a grace of three seconds."""
    deadline = time.monotonic() + patience_s
    while count(http, course)["total"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert count(http, course)["total"] == 0


@pytest.mark.parametrize(
    "change",
    [{"session_id": "fedcba9876543210"}, {"session_id": "0123"}, {"anonymous": False}],
    ids=["another session", "a short one", "named"],
)
def test_a_leave_without_a_token_ends_nobody_else(
    http: httpx2.Client, issuer: Issuer, change: dict[str, object]
) -> None:
    """The visitor and a viewer of the same session id stay: only its own anonymous one can go so."""
    course = f"stays.{len(change)}.{next(iter(change.values()))}"
    beat(http, course, None, session_id="0123456789abcdef")
    beat(http, course, issuer.token("made-up"), session_id="fedcba9876543210")

    assert leave(http, course, VISITOR | change) in (204, 401)
    assert count(http, course)["total"] == 2

"""Ids of viewers from what tokens say: as schools have them, one id each, and nobody else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_svc.auth.caller import TokenRefused
from presence_svc.auth.subject import claimed, viewer_id_of
from presence_svc.web.body import checked_id

SCHOOLS = [
    "aGVsbG8/d29ybGQ+/w==",
    "https://lms.example/users/5#a",
    "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent!x!y",
    "uid=ada,ou=People,dc=example,dc=edu",
    "Shaun O'Neill",
    "a" * 255,
    "\u5f20\u4e09",
    "u1\n",
]


@pytest.mark.parametrize("said", SCHOOLS)
def test_what_no_id_can_hold_is_digested(said: str) -> None:
    """Always to the same id, which is one, and to another for another text."""
    found = viewer_id_of(said)

    assert (found[:2], len(found)) == ("h.", 45)
    assert checked_id(found, "/viewer_id") == found == viewer_id_of(said)
    assert viewer_id_of(said + " ") != found


@pytest.mark.parametrize("said", ["u1", "ada@example.org", "a|b=c+d~", "h.short", "h." + "a" * 44])
def test_what_an_id_can_hold_stays(said: str) -> None:
    """Nobody's id changes who had one before."""
    assert viewer_id_of(said) == said


@given(st.text(st.characters()), st.text(st.characters()))
def test_no_two_texts_share_an_id(one: str, other: str) -> None:
    """Nobody can be called by another's digest: what looks like one is digested too."""
    assert viewer_id_of(viewer_id_of(one + "/")) != viewer_id_of(one + "/")
    assert (viewer_id_of(one) == viewer_id_of(other)) == (one == other)


@pytest.mark.parametrize(
    ("value", "said"), [(7, "7"), (-5, "-5"), (2**63, str(2**63)), (7.0, "7"), ("007", "007")]
)
def test_numbers_are_their_digits(value: object, said: str) -> None:
    """A database's number names the same viewer as its text."""
    assert claimed(value, "sub") == said


@pytest.mark.parametrize("value", [None, "", " ", True, [], {}, 0.5, 2.0**53, "anon~x"])
def test_what_names_nobody_is_refused_by_name(value: object) -> None:
    """The error says which claim, and what is wrong with it."""
    with pytest.raises(TokenRefused, match=r"`user\.id` (is|looks)"):
        claimed(value, "user.id")

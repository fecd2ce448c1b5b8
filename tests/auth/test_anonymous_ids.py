"""Ids that hide a person: an anonymous viewer's own, and pseudonyms for those whose ids others see (S7)."""

from __future__ import annotations

import json

import httpx2
import pytest

from tests.auth.guarded import KEY, SESSION, beat, count, leave, roster
from tests.auth.issuer import Issuer, bearer


def test_an_anonymous_id_is_made_by_the_server_and_bound_to_the_session(http: httpx2.Client) -> None:
    """The same for the same session, so no lost reply leaves a ghost; another for each session and course."""
    first, again = (beat(http, "anon", None, session_id=SESSION).json() for _ in range(2))
    echoed = beat(http, "anon", None, session_id=SESSION, viewer_id=first["viewer_id"]).json()
    other = beat(http, "anon", None, session_id=SESSION + "x").json()
    elsewhere = beat(http, "anon2", None, session_id=SESSION).json()

    ids = {reply["viewer_id"] for reply in (first, other, elsewhere)}
    assert first["viewer_id"] == again["viewer_id"] == echoed["viewer_id"]
    assert len(ids) == 3
    assert count(http, "anon")["anonymous"] == 2


def test_nobody_is_somebody_without_a_token(http: httpx2.Client, issuer: Issuer) -> None:
    """A name without a token is 401; asking to be anonymous, as the badge does, gives an id of ours."""
    beat(http, "claim", issuer.token("ada", name="Ada"))

    named = beat(http, "claim", None, viewer_id="ada", session_id=SESSION)
    shy = beat(http, "claim", None, viewer_id="ada", session_id=SESSION, anonymous=True, name="Root")

    assert named.status_code == 401
    assert shy.json()["viewer_id"].startswith("anon~")
    assert [viewer["viewer_id"] for viewer in roster(http, "claim", KEY)] == ["ada"]


def test_somebody_elses_anonymous_id_cannot_be_taken(http: httpx2.Client) -> None:
    """Its session is what proves it: with another session one gets another id, whatever the body says."""
    victim = beat(http, "theft", None, session_id=SESSION).json()["viewer_id"]

    thief = beat(http, "theft", None, session_id=SESSION[::-1], viewer_id=victim)

    assert thief.json()["viewer_id"] != victim
    assert leave(http, "theft", {"viewer_id": victim, "session_id": SESSION}) == 401


@pytest.mark.parametrize("session", [{}, {"session_id": "main"}, {"session_id": "x" * 15}])
def test_an_anonymous_session_must_not_be_guessable(http: httpx2.Client, session: dict[str, str]) -> None:
    """A session id that others have too would be their viewer too: 422 says which field is wrong."""
    reply = beat(http, "guess", None, **session)

    assert reply.status_code == 422
    assert reply.json()["errors"][0]["pointer"] == "/session_id"


def test_viewers_see_each_other_under_pseudonyms(http: httpx2.Client, issuer: Issuer) -> None:
    """The same person is somebody else in each course; services see who it is; streams show pseudonyms."""
    ada, bob = issuer.token("ada", name="Ada"), issuer.token("bob")
    for course in ("p1", "p2"):
        beat(http, course, ada)
    first, second = roster(http, "p1", bob)[0], roster(http, "p2", bob)[0]

    with http.stream("GET", "/v1/courses/p1/live?viewers=5", headers=bearer(bob)) as stream:
        frame = next(line for line in stream.iter_lines() if "viewers" in line and line.startswith("data"))

    streamed = json.loads(frame.removeprefix("data: "))["viewers"][0]["viewer_id"]
    assert first["name"] == second["name"] == "Ada"
    assert len({first["viewer_id"], second["viewer_id"], "ada"}) == 3
    assert streamed == first["viewer_id"]
    assert roster(http, "p1", KEY)[0]["viewer_id"] == "ada"

"""Whose presence a heartbeat is: the token says so, a service may say so, and anybody may hide."""

from __future__ import annotations

import httpx2

from tests.auth.guarded import KEY, beat, count, roster
from tests.auth.issuer import Issuer


def test_the_token_says_who_it_is_and_under_which_name(http: httpx2.Client, issuer: Issuer) -> None:
    """`sub`, name and picture come from the token; what the body makes up is not shown."""
    token = issuer.token("ada", name="Ada", picture="https://x.example/a.png")
    reply = beat(http, "names", token, name="Root", avatar_url="https://evil.example/a.png")
    beat(http, "names", issuer.token("bob"), name="Root")

    shown = {viewer["viewer_id"]: viewer for viewer in roster(http, "names", KEY)}

    assert reply.json()["viewer_id"] == "ada"
    assert (shown["ada"]["name"], shown["ada"]["avatar_url"]) == ("Ada", "https://x.example/a.png")
    assert shown["bob"]["name"] is None


def test_a_service_may_name_anybody(http: httpx2.Client) -> None:
    """An API key speaks for the viewer that the body names, and must name one."""
    assert beat(http, "svc", KEY, viewer_id="u7").json()["viewer_id"] == "u7"
    assert beat(http, "svc", KEY).status_code == 422


def test_a_viewer_may_always_ask_to_be_anonymous(http: httpx2.Client, issuer: Issuer) -> None:
    """S7: counted, never named, with a token too."""
    beat(http, "shy", issuer.token("ada", name="Ada"), anonymous=True)

    counted = count(http, "shy")

    assert (counted["total"], counted["named"], counted["anonymous"]) == (1, 0, 1)
    assert roster(http, "shy", KEY) == []

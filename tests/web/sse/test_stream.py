"""When a stream ends by itself: with its token."""

from __future__ import annotations

import time

import httpx2
import pytest

from tests.auth.guarded import beat
from tests.auth.issuer import Issuer, bearer


@pytest.mark.parametrize("path", ["/v1/courses/exp/live", "/v1/live?course_id=exp"])
def test_a_stream_ends_when_its_token_does(http: httpx2.Client, issuer: Issuer, path: str) -> None:
    """H6: `event: reauth` and a clean end, within 5 s of the token's; a heartbeat then gets 401."""
    token = issuer.token("ada", exp=time.time() + 2)
    began = time.monotonic()

    with http.stream("GET", path, headers=bearer(token)) as stream:
        text = "".join(stream.iter_text())
        assert stream.headers["connection"] == "close"  # else the next request might be sent on it
    took_s = time.monotonic() - began

    assert "event: reauth\nretry: " in text
    assert text.rstrip().endswith("data: {}")
    assert 1 < took_s < 7
    expired = issuer.token("ada", exp=time.time() - 6)
    assert beat(http, "exp", expired).status_code == 401

"""Tokens that nobody honest makes: whatever their header and claims hold, they are refused."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from presence_svc.auth.caller import Caller, TokenRefused
from presence_svc.auth.tokens import Tokens
from presence_svc.settings import Settings
from tests.conftest import SpawnService

SECRET = "a secret of thirty-two bytes, it is"
HEADS = ("kid", "typ", "cty", "crit", "b64", "jwk", "jku", "x5c", "x5u", "x5t", "zip", "enc", "cat")
CLAIMS = ("iss", "aud", "nbf", "iat", "azp", "sts", "name", "picture", "courses", "user")
TIMES = st.integers(-300, 300).map(lambda s: time.time() + s)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | TIMES | st.sampled_from(HEADS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
DEEP = b"[" * 990 + b"]" * 990


def encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def signed(header: bytes, claims: bytes) -> bytes:
    """With the secret that is believed, so that the claims are looked at too."""
    said = encoded(header) + b"." + encoded(claims)
    return said + b"." + encoded(hmac.digest(SECRET.encode(), said, "sha256"))


def judge(**more: Any) -> Tokens:
    mapped = {"jwt_courses_claim": "courses", "jwt_name_claim": "user.name"} | more
    return Tokens(Settings(auth="jwt", jwt_secret=SECRET, **mapped))


def outcome(tokens: Tokens, token: bytes) -> str:
    """Fails for whatever is neither a caller nor a refusal."""
    try:
        assert isinstance(tokens.judge(token), Caller)
    except TokenRefused as refused:
        return refused.detail
    return ""


JUDGES = [judge(), judge(jwt_preset="clerk"), judge(jwt_issuer="https://x.example", jwt_audience="a")]
HEADERS = st.fixed_dictionaries({}, optional=dict.fromkeys(HEADS, VALUES))
WHO = {"sub": st.just("u1") | VALUES, "sid": st.just("s1") | VALUES, "exp": TIMES | VALUES}


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    st.just({"alg": "HS256"}) | st.fixed_dictionaries({"alg": VALUES}),
    HEADERS,
    st.fixed_dictionaries(WHO, optional=dict.fromkeys(CLAIMS, VALUES)),
    st.sampled_from(JUDGES),
)
def test_any_json_in_any_field_is_believed_or_refused(
    algorithm: dict[str, Any], header: dict[str, Any], claims: dict[str, Any], tokens: Tokens
) -> None:
    """The reader of hostile input answers with a caller or a refusal, whatever its libraries raise."""
    token = signed(json.dumps(algorithm | header).encode(), json.dumps(claims).encode())

    said = outcome(tokens, token)

    assert said or "crit" not in header


def test_the_samples_reach_both_ends() -> None:
    """The test above would prove nothing if no token of its making were believed."""
    claims = {"sub": "u1", "sid": "s1", "exp": time.time() + 60}

    assert outcome(judge(), signed(b'{"alg":"HS256"}', json.dumps(claims).encode())) == ""
    assert "expired" in outcome(judge(), signed(b'{"alg":"HS256"}', json.dumps(claims | {"exp": 1}).encode()))


@pytest.mark.parametrize(
    ("header", "claims"),
    [(b'{"alg":"HS256","x":%b}' % DEEP, b"{}"), (b'{"alg":"HS256"}', b'{"sub":%b}' % DEEP)]
    + [(b'{"alg":"HS256"}', b'{"sub":"u1","exp":%b}' % number) for number in (b"9" * 400, b"1e999", b"-0")],
)
def test_depth_and_size_are_refused(header: bytes, claims: bytes) -> None:
    """What no sample above is deep or long enough for."""
    assert outcome(judge(), signed(header, claims))


@pytest.mark.parametrize("depth", [300, 700, 990, 1_000, 1_010, 1_022, 1_024, 1_100])
@pytest.mark.parametrize("name", [b"Ada", b"Ada \\ud83d"], ids=["whole", "cut"])
def test_any_depth_is_believed_or_refused(depth: int, name: bytes) -> None:
    """A name that was cut in the middle of a sign is read in another way, which goes less deep."""
    deep = b"[" * depth + b"]" * depth
    claims = b'{"sub":"u1","exp":%d,"name":"%b","x":%b}' % (time.time() + 60, name, deep)

    said = outcome(judge(), signed(b'{"alg":"HS256"}', claims))

    assert said in ("", "the token's payload is not JSON")
    assert said or depth < 1_024


@pytest.mark.parametrize("kind", [int, float])
def test_a_time_in_ms_is_no_end(kind: type[float]) -> None:
    """A token of JavaScript's Date.now() would be believed for 50,000 years."""
    ends = {unit: kind((time.time() + 60) * unit) for unit in (1, 1_000, 1_000_000)}

    said = [
        outcome(judge(), signed(b'{"alg":"HS256"}', json.dumps({"sub": "u1", "exp": end}).encode()))
        for end in ends.values()
    ]

    assert said[0] == ""
    assert all("seconds" in one for one in said[1:])


NULLS = ("kid", "typ", "cty", "x5t", "jku")


@pytest.mark.parametrize("null", [*NULLS, "aud", "nbf", "iat", "azp", "name", "picture"])
def test_null_is_as_if_it_were_absent(null: str) -> None:
    """Some issuers write every field that they know; one without a value says nothing."""
    header: dict[str, Any] = {"alg": "HS256"}
    claims: dict[str, Any] = {"sub": "u1", "exp": time.time() + 60}
    (header if null in NULLS else claims)[null] = None

    assert outcome(judge(), signed(json.dumps(header).encode(), json.dumps(claims).encode())) == ""


@pytest.mark.parametrize("null", ["exp", "sub", "iss", "aud", "alg"])
def test_null_is_not_what_must_be_there(null: str) -> None:
    """What is asked for is missing then."""
    header: dict[str, Any] = {"alg": "HS256"}
    claims: dict[str, Any] = {"iss": "https://x.example", "aud": "a", "sub": "u1", "exp": time.time() + 60}
    believing = judge(jwt_issuer="https://x.example", jwt_audience="a")
    assert outcome(believing, signed(json.dumps(header).encode(), json.dumps(claims).encode())) == ""

    (header if null == "alg" else claims)[null] = None

    assert outcome(believing, signed(json.dumps(header).encode(), json.dumps(claims).encode()))


@pytest.mark.parametrize("fast_path", ["true", "false"], ids=["fast path", "asgi"])
def test_each_path_answers_401_and_counts_it(
    spawn_service: SpawnService, redis_url: str, fast_path: str
) -> None:
    """Hostile headers come from an address that runs out of tries, and leave no trace of a crash."""
    service = spawn_service(
        {
            "PRESENCE_REDIS_URL": redis_url,
            "PRESENCE_AUTH": "jwt",
            "PRESENCE_JWT_SECRET": SECRET,
            "PRESENCE_ADDRESS_BURST": "8",
            "PRESENCE_ADDRESS_RATE": "0.01",
            "PRESENCE_FAST_PATH": fast_path,
        }
    )
    headers = [b'{"alg":"HS256","crit":%b}' % crit for crit in (b"5", b"null", b"true", b"[1]", b"[[]]")]
    hostile = [encoded(header) + b".e30.eHg" for header in (*headers, b'{"alg":"HS256","x":%b}' % DEEP)]

    with httpx2.Client(base_url=service.url, timeout=5) as http:
        replies = [
            http.post(
                "/v1/courses/c1/heartbeat", json={}, headers={"Authorization": f"Bearer {token.decode()}"}
            )
            for token in (*hostile, *hostile)
        ]

    assert [reply.status_code for reply in replies] == [401] * 8 + [429] * 4
    assert all("invalid_token" in reply.headers["www-authenticate"] for reply in replies[:8])
    assert "Traceback" not in service.logs()
    assert "unhandled" not in service.logs()

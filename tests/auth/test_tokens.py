"""Tokens: which are believed, which are not and why, and what a key server that changes or is away does."""

from __future__ import annotations

import asyncio
import base64
import codecs
import contextlib
import hmac
import json
import math
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from joserfc import jwk, jwt
from joserfc.jws import deserialize_compact

from presence_svc.auth import jwks, tokens
from presence_svc.auth import token_cache as verdict
from presence_svc.auth.caller import Caller, TokenRefused
from presence_svc.auth.jwks import Jwks
from presence_svc.auth.signing_key import MAX_KEYS, from_jwks, from_pem
from presence_svc.auth.tokens import Tokens
from presence_svc.errors import Forbidden, Unavailable
from presence_svc.settings import Settings
from tests.auth.issuer import AUDIENCE, ISSUER, Issuer

SECRET = "a secret of thirty-two bytes, it is"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


def settings_for(issuer: Issuer, **more: Any) -> Settings:
    return Settings(
        auth="jwt", **({"jwt_jwks_url": issuer.url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE} | more)
    )


@pytest.fixture
async def judge_of(issuer: Issuer) -> AsyncIterator[Callable[..., Tokens]]:
    made: list[Tokens] = []

    def make(
        clock: Callable[[], float] = time.time, elapsed: Callable[[], float] | None = None, **more: Any
    ) -> Tokens:
        made.append(Tokens(settings_for(issuer, **more), clock, elapsed=elapsed or clock))
        return made[-1]

    yield make
    for judge in made:
        await judge.keys.close()


async def judged(judge: Tokens, token: str | bytes) -> Caller:
    verdict = judge.judge(token if isinstance(token, bytes) else token.encode())
    return verdict if isinstance(verdict, Caller) else await verdict


def opened(caller: Caller) -> set[str] | None:
    """The courses of these that a caller may enter; None for any at all."""
    if caller.courses is None:
        return None
    found = set()
    for course in ("c1", "c2", "c3", "c", "c1x", "xc2", "1", "7"):
        with contextlib.suppress(Forbidden):
            caller.check_course(course)
            found.add(course)
    return found


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(part).encode() for part in (header, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


def good_claims() -> dict[str, Any]:
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "exp": time.time() + 300}


async def test_a_good_token_says_who_it_is(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """Subject, name and picture come from the claims; a picture that is not https is left out."""
    judge = judge_of(jwt_name_claim="user.full", jwt_courses_claim="courses")

    caller = await judged(
        judge, issuer.token("u1", user={"full": " Ada "}, picture="https://x.example/a.png")
    )
    other = await judged(judge, issuer.token("u2", picture="http://x.example/a.png", courses="c1 c2"))

    assert (caller.subject, caller.name, caller.avatar_url) == ("u1", "Ada", "https://x.example/a.png")
    assert other.avatar_url is None
    assert opened(other) == {"c1", "c2"}


@pytest.mark.parametrize(
    ("claim", "courses"),
    [
        (["c1"], {"c1"}),
        ("*", None),
        (["*"], None),
        (None, set()),
        (7, set()),
        ([1, "c2"], {"c2"}),
        (["c1 c2", "c3\n", "", " c1", "c2"], {"c2"}),
        ("c1x xc2", {"c1x", "xc2"}),
    ],
)
async def test_the_courses_claim_limits_and_its_absence_opens_nothing(
    issuer: Issuer, judge_of: Callable[..., Tokens], claim: Any, courses: set[str] | None
) -> None:
    """With JWT_COURSES_CLAIM a token must list its courses, or say `*`."""
    judge = judge_of(jwt_courses_claim="courses")

    caller = await judged(judge, issuer.token(courses=claim))

    assert opened(caller) == courses


async def test_the_audience_may_be_one_of_several(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """`aud` may be a list; one name that is ours is enough."""
    caller = await judged(judge_of(), issuer.token(aud=["other", AUDIENCE]))

    assert caller.subject == "u1"


BAD_CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"exp": time.time() - 6}, "expired"),
    "no exp": ({"exp": None}, "needs `exp`"),
    "exp is text": ({"exp": "4102444800"}, "not a time"),
    "exp is true": ({"exp": True}, "not a time"),
    "early": ({"nbf": time.time() + 3600}, "not valid yet"),
    "other issuer": ({"iss": "https://evil.example"}, "issuer"),
    "no issuer": ({"iss": None}, "issuer"),
    "other audience": ({"aud": "shop"}, "audience"),
    "no audience": ({"aud": None}, "audience"),
    "audience is a number": ({"aud": 7}, "aud"),
    "no subject": ({"sub": None}, "`sub` is missing"),
    "subject is empty": ({"sub": ""}, "`sub` is empty"),
    "subject is blank": ({"sub": " \n"}, "`sub` is empty"),
    "subject is a list": ({"sub": ["u1"]}, "`sub` is neither a string nor a number"),
    "subject is an object": ({"sub": {"id": 7}}, "`sub` is neither a string nor a number"),
    "subject is true": ({"sub": True}, "`sub` is neither a string nor a number"),
    "subject is a fraction": ({"sub": 7.5}, "`sub` is a number that is not exact"),
    "subject has more digits than are exact": ({"sub": 10**25}, "`sub` is a number that is not exact"),
    "subject like an anonymous id": ({"sub": "anon~" + "0" * 32}, "anonymous"),
}


@pytest.mark.parametrize("case", BAD_CLAIMS)
async def test_bad_claims_are_refused(issuer: Issuer, judge_of: Callable[..., Tokens], case: str) -> None:
    """Each claim that is missing, wrong or of the wrong kind is refused, with a reason that names it."""
    claims, reason = BAD_CLAIMS[case]

    with pytest.raises(TokenRefused, match=reason):
        await judged(judge_of(), issuer.token(**claims))


async def test_leeway_is_what_the_setting_says(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """A token that expired 3 s ago holds with the usual 5 s of leeway, and not with none."""
    token = issuer.token(exp=time.time() - 3)

    assert (await judged(judge_of(), token)).subject == "u1"
    with pytest.raises(TokenRefused, match="expired"):
        await judged(judge_of(jwt_leeway=0), token)


async def test_an_audience_that_we_do_not_have_is_not_ours(
    issuer: Issuer, judge_of: Callable[..., Tokens]
) -> None:
    """RFC 7519, 4.1.3: without JWT_AUDIENCE a token that names an audience is somebody else's."""
    judge = judge_of(jwt_audience="", jwt_authorized_parties="https://app.example")

    with pytest.raises(TokenRefused, match="audience"):
        await judged(judge, issuer.token(azp="https://app.example"))
    assert (await judged(judge, issuer.token(aud=None, azp="https://app.example"))).subject == "u1"
    with pytest.raises(TokenRefused, match="party"):
        await judged(judge, issuer.token(aud=None, azp="https://evil.example"))
    with pytest.raises(TokenRefused, match="party"):
        await judged(judge, issuer.token(aud=None))


async def test_the_clerk_preset(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """Clerk's tokens carry a header of their own and no audience, may lack `azp`, and must be a session's."""
    judge = judge_of(jwt_preset="clerk", jwt_audience="", jwt_authorized_parties="https://app.example")
    clerk: dict[str, Any] = {"header": {"cat": "cl_B7d4PD111AAA"}, "aud": None}

    assert (await judged(judge, issuer.token(sid="sess_1", **clerk))).subject == "u1"
    assert (
        await judged(judge, issuer.token(sid="sess_1", azp="https://app.example", **clerk))
    ).subject == "u1"
    with pytest.raises(TokenRefused, match="party"):
        await judged(judge, issuer.token(sid="sess_1", azp="https://evil.example", **clerk))
    with pytest.raises(TokenRefused, match="sid"):
        await judged(judge, issuer.token(**clerk))
    with pytest.raises(TokenRefused, match="pending"):
        await judged(judge, issuer.token(sid="sess_1", sts="pending", **clerk))


def test_the_clerk_preset_knows_where_the_keys_are() -> None:
    """The issuer is all that one has to set."""
    settings = Settings(auth="jwt", jwt_preset="clerk", jwt_issuer="https://a.clerk.example/")

    assert settings.jwks_url == "https://a.clerk.example/.well-known/jwks.json"


async def test_forged_signatures_are_refused(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """Another key under our kid, a changed payload, a cut signature: each is a forgery."""
    judge = judge_of()
    other = jwk.RSAKey.generate_key(2048)
    head, claims, signature = issuer.token("u1").split(".")
    _, stranger, _ = issuer.token("u2").split(".")

    for forged in (
        issuer.token("u1", key=other),
        f"{head}.{stranger}.{signature}",
        f"{head}.{claims}.{signature[:-4]}",
        f"{head}.{claims}.",
    ):
        with pytest.raises(TokenRefused, match="signature"):
            await judged(judge, forged)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_none_is_not_an_algorithm(
    issuer: Issuer, judge_of: Callable[..., Tokens], algorithm: str
) -> None:
    """RFC 8725, 3.1: an unsigned token is refused however `none` is written."""
    with pytest.raises(TokenRefused, match="alg"):
        await judged(judge_of(), unsigned({"alg": algorithm, "kid": "k1"}, good_claims()))


async def test_a_public_key_is_not_a_secret(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """Key confusion: HMAC with the published key's bytes, in each form that it has, is refused."""
    judge = judge_of()
    published = issuer.keys["k1"]
    for secret in (published.as_pem(private=False), json.dumps(published.as_dict(private=False)).encode()):
        signed, _, _ = unsigned({"alg": "HS256", "kid": "k1"}, good_claims()).rpartition(".")
        signature = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256"))

        with pytest.raises(TokenRefused, match="alg"):
            await judged(judge, f"{signed}.{signature.decode().rstrip('=')}")


async def test_an_algorithm_belongs_to_its_key(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """A key that is published for RS256 verifies nothing else, even with a signature that would hold."""
    same = jwk.RSAKey.import_key(issuer.keys["k1"].as_pem(private=True))

    with pytest.raises(TokenRefused, match="alg"):
        await judged(judge_of(), issuer.token(header={"alg": "PS256"}, key=same))


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", jwk.ECKey.generate_key("P-256", {"kid": "e"})),
        ("ES384", jwk.ECKey.generate_key("P-384", {"kid": "e"})),
        ("EdDSA", jwk.OKPKey.generate_key("Ed25519", {"kid": "e"})),
        ("PS256", jwk.RSAKey.generate_key(2048, {"kid": "e", "alg": "PS256"})),
    ],
)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_every_usual_kind_of_key_works(
    issuer: Issuer, judge_of: Callable[..., Tokens], algorithm: str, key: Any
) -> None:
    """Elliptic and Edwards curves, and RSA-PSS where the key says so; as JWKS and, where it fits, as PEM."""
    issuer.keys["e"] = key
    token = issuer.token(header={"alg": algorithm})
    pem = key.as_pem(private=False).decode().replace("\n", "\\n")

    assert (await judged(judge_of(), token)).subject == "u1"
    if algorithm != "PS256":
        assert (await judged(judge_of(jwt_jwks_url=None, jwt_public_key=pem), token)).subject == "u1"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.é.é",
        "." * 2,
        "eyJhbGciOiJSUzI1NiJ9..",
        "W10.W10.W10",
        "a" * 9_000,
    ]
    + [
        unsigned(head, {})
        for head in ({}, {"alg": 1}, {"alg": "RS256", "kid": 7}, {"alg": "RS256", "typ": 1})
    ]
    + [unsigned({"alg": "RS256", "kid": "k1", "typ": "secevent+jwt"}, {})]
    + [unsigned({"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": False}, {}, b"x")],
)
async def test_what_is_no_token_is_refused(
    issuer: Issuer, judge_of: Callable[..., Tokens], token: str
) -> None:
    """Text that is not a token of our kind raises TokenRefused and nothing else."""
    with pytest.raises(TokenRefused):
        await judged(judge_of(), token)


async def test_a_secret_verifies_its_own_tokens(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """HS256 with JWT_SECRET; a token under another secret is a forgery."""
    judge = judge_of(jwt_jwks_url=None, jwt_secret=SECRET)
    ours, theirs = (
        jwt.encode({"alg": "HS256"}, good_claims(), jwk.OctKey.import_key(secret))
        for secret in (SECRET, SECRET[::-1])
    )

    assert (await judged(judge, ours)).subject == "u1"
    with pytest.raises(TokenRefused, match="signature"):
        await judged(judge, theirs)


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_a_private_key_or_a_short_one_is_refused_at_start(issuer: Issuer) -> None:
    """PRESENCE_JWT_PUBLIC_KEY must be public, and RSA needs 2048 bits."""
    private = issuer.keys["k1"].as_pem(private=True).decode()
    short = jwk.RSAKey.generate_key(1024).as_pem(private=False).decode()

    for pem, reason in ((private, "private"), (short, "2048"), ("nonsense", "PEM")):
        with pytest.raises(ValueError, match=reason):
            from_pem(pem)


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_only_what_may_sign_is_taken_from_a_key_set() -> None:
    """Symmetric, private, short, encryption and unknown keys are left out; the good one of the set stays."""
    good = jwk.RSAKey.generate_key(2048, {"kid": "good"})
    keys = [
        jwk.OctKey.generate_key(256, {"kid": "symmetric"}).as_dict(private=True),
        jwk.RSAKey.generate_key(2048, {"kid": "private"}).as_dict(private=True),
        jwk.RSAKey.generate_key(1024, {"kid": "short"}).as_dict(private=False),
        jwk.RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"}).as_dict(private=False),
        jwk.RSAKey.generate_key(2048, {"kid": "hmac", "alg": "HS256"}).as_dict(private=False),
        {**good.as_dict(private=False), "kid": "signs only", "key_ops": ["sign"]},
        {**good.as_dict(private=False), "kid": "encrypts", "key_ops": ["encrypt"]},
        jwk.OKPKey.generate_key("X25519", {"kid": "exchange"}).as_dict(private=False),
        {"kty": "RSA", "kid": "broken"},
        {"kty": "AKP", "kid": "unknown"},
        "nonsense",
        {**good.as_dict(private=False), "kid": 7},
        good.as_dict(private=False),
    ]

    found = from_jwks({"keys": keys})

    assert [key.kid for key in found] == ["good"]
    assert found[0].algorithms == ("RS256",)


async def test_a_key_that_cannot_verify_hides_no_other(
    issuer: Issuer, judge_of: Callable[..., Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the kid of the good key: one for encryption, one that signs only, one of another kind."""
    good = issuer.keys["k1"].as_dict(private=False)
    other = jwk.RSAKey.generate_key(2048, {"kid": "k1"}).as_dict(private=False)
    curve = jwk.ECKey.generate_key("P-256", {"kid": "k1"}).as_dict(private=False)
    set_ = [
        other | {"key_ops": ["encrypt"]},
        other | {"key_ops": ["sign"]},
        other | {"use": "enc"},
        curve,
        good,
    ]
    monkeypatch.setattr(issuer, "document", lambda: json.dumps({"keys": set_}).encode())

    assert (await judged(judge_of(), issuer.token("u1"))).subject == "u1"


def test_only_usable_keys_count_towards_the_most() -> None:
    """Whatever stands before it, a good key is found; of endlessly many a hundred are kept."""
    good = jwk.RSAKey.generate_key(2048, {"kid": "good"}).as_dict(private=False)

    assert [key.kid for key in from_jwks({"keys": [{"kty": "oct"}] * 200 + [good]})] == ["good"]
    assert len(from_jwks({"keys": [good] * 200})) == MAX_KEYS


async def test_a_token_without_a_kid_is_judged_by_every_key_of_its_algorithm(
    issuer: Issuer, judge_of: Callable[..., Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issuers that name no keys rotate too; a few are tried, and a forgery holds under none."""
    rsa = [jwk.RSAKey.generate_key(2048) for _ in range(tokens.TRIED + 1)]
    curve = jwk.ECKey.generate_key("P-256")
    set_ = [curve.as_dict(private=False), *(key.as_dict(private=False) for key in rsa)]
    monkeypatch.setattr(issuer, "document", lambda: json.dumps({"keys": set_}).encode())
    judge = judge_of()

    def signed(key: jwk.Key, algorithm: str = "RS256") -> str:
        return jwt.encode({"alg": algorithm}, good_claims(), key, algorithms=[algorithm])

    for key in rsa[: tokens.TRIED]:
        assert (await judged(judge, signed(key))).subject == "u1"
    assert (await judged(judge, signed(curve, "ES256"))).subject == "u1"
    for stranger in (rsa[-1], jwk.RSAKey.generate_key(2048)):
        with pytest.raises(TokenRefused, match="signature"):
            await judged(judge, signed(stranger))


@pytest.mark.parametrize("document", [[], {}, {"keys": {}}, None, "x"])
def test_what_is_no_key_set_is_an_error(document: Any) -> None:
    """A page that is not a JWKS must not replace the keys that we have."""
    with pytest.raises(ValueError, match="JWKS"):
        from_jwks(document)


async def test_a_token_is_verified_once(
    issuer: Issuer, judge_of: Callable[..., Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict is remembered, without the token itself, until the token expires."""
    clock = Clock(time.time())
    judge = judge_of(clock)
    verified: list[bytes] = []

    def verify(value: bytes, *args: Any, **options: Any) -> Any:
        verified.append(value)
        return deserialize_compact(value, *args, **options)

    monkeypatch.setattr(tokens, "deserialize_compact", verify)
    token = issuer.token(lasts_s=60)

    first = await judged(judge, token)
    again = judge.judge(token.encode())

    assert again is first
    assert len(verified) == 1
    assert token.encode() not in judge._verdicts
    clock.now += 66
    with pytest.raises(TokenRefused, match="expired"):
        await judged(judge, token)


async def test_verdicts_are_bounded(
    issuer: Issuer, judge_of: Callable[..., Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of good tokens pushes the oldest verdicts out instead of filling the memory."""
    monkeypatch.setattr(verdict, "LIMIT", 10 * verdict.BASE_WEIGHT)
    judge = judge_of()

    for number in range(25):
        await judged(judge, issuer.token(f"u{number}"))

    assert [caller.subject for caller in judge._verdicts.values()] == [f"u{n}" for n in range(15, 25)]


async def test_a_verdict_weighs_what_its_courses_do(
    issuer: Issuer, judge_of: Callable[..., Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token may list as many courses as it has room for: the memory takes fewer of those."""
    monkeypatch.setattr(verdict, "LIMIT", 10 * verdict.BASE_WEIGHT)
    judge = judge_of(jwt_courses_claim="courses")
    many = " ".join(f"{number:04}" for number in range(700))

    for number in range(10):
        caller = await judged(judge, issuer.token(f"u{number}", courses=many))

    assert sys.getsizeof(caller.courses) < 4_000
    assert len(judge._verdicts) == 2


async def test_verdicts_that_have_lapsed_make_room(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """Tokens of a minute leave nothing behind: else a day of them would fill the memory."""
    clock = Clock(time.time())
    judge = judge_of(clock, jwt_jwks_url=None, jwt_secret=SECRET)

    for minute in range(20):
        for number in range(5):
            claims = good_claims() | {"sub": f"u{number}", "exp": clock.now + 60, "jti": minute}
            await judged(judge, jwt.encode({"alg": "HS256"}, claims, jwk.OctKey.import_key(SECRET)))
        clock.now += 66

    assert len(judge._verdicts) == 5


async def test_a_refused_token_is_not_remembered(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """Junk takes no memory."""
    judge = judge_of()

    for number in range(20):
        with pytest.raises(TokenRefused):
            await judged(judge, issuer.token(f"u{number}", aud="shop"))

    assert len(judge._verdicts) == 0


async def test_service_keys_are_service_callers(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """Each of several keys works; a prefix, an extension or another case of one does not."""
    first, second = "0123456789abcdefghij", "another-key-of-twenty-characters"
    judge = judge_of(service_keys=f"{first},{second}")

    for key in (first, second):
        assert (await judged(judge, key)).role.value == "service"
    for wrong in (first[:-1], first + "k", first.upper(), first + second):
        with pytest.raises(TokenRefused):
            await judged(judge, wrong)


# The key server: rotation, absence, floods.


async def settled(keys: Jwks) -> None:
    """Waits until no fetch is under way."""
    if keys._flight is not None:
        await asyncio.wait_for(asyncio.shield(keys._flight), 5)


async def keys_of(issuer: Issuer, clock: Clock) -> Jwks:
    keys = Jwks(issuer.url, clock)
    await keys.look()
    return keys


async def test_everybody_who_waits_for_keys_shares_one_fetch(
    issuer: Issuer, judge_of: Callable[..., Tokens]
) -> None:
    """Single flight: fifty tokens before the first fetch has come back are one fetch."""
    issuer.delay_s = 0.2
    judge = judge_of()

    callers = await asyncio.gather(*(judged(judge, issuer.token(f"u{n}")) for n in range(50)))

    assert {caller.subject for caller in callers} == {f"u{n}" for n in range(50)}
    assert issuer.fetches == 1


async def test_a_rotated_key_is_found_at_once(issuer: Issuer, judge_of: Callable[..., Tokens]) -> None:
    """An unknown kid asks again, at once the first time; what is published no more is refused."""
    judge = judge_of()
    old = issuer.token("u1")
    await judged(judge, issuer.token("u1"))
    issuer.rotate("k2")

    assert (await judged(judge, issuer.token("u2"))).subject == "u2"
    assert issuer.fetches == 2
    with pytest.raises(TokenRefused, match="publish"):
        await judged(judge, old)


async def test_made_up_kids_make_no_flood_of_fetches(issuer: Issuer) -> None:
    """Within 30 s unknown kids ask the key server once; after that once more."""
    clock = Clock(1_000.0)
    keys = await keys_of(issuer, clock)

    for number in range(200):
        if not keys.find(f"made-up-{number}") and keys.may_look():
            await keys.look()
    within = issuer.fetches
    clock.now += jwks.COOLDOWN_S
    assert keys.may_look()
    await keys.look()

    assert (within, issuer.fetches) == (2, 3)


async def test_old_keys_are_renewed_while_they_are_used(issuer: Issuer) -> None:
    """Nobody waits for a renewal: the key is given at once, the fetch runs beside it."""
    clock = Clock(1_000.0)
    keys = await keys_of(issuer, clock)
    clock.now += jwks.RENEW_S

    assert keys.find("k1")
    await settled(keys)

    assert issuer.fetches == 2


async def test_a_withdrawn_key_is_believed_for_ten_minutes_at_most(
    issuer: Issuer, judge_of: Callable[..., Tokens]
) -> None:
    """A verdict of the last moment at which old keys are believed is the last one that they give."""
    clock = Clock(time.time())
    judge = judge_of(clock)
    judge.keys = Jwks(issuer.url, clock)
    token, twin = issuer.token(lasts_s=90_000), issuer.token(lasts_s=90_001)
    await judged(judge, token)
    issuer.rotate("k2")

    clock.now += jwks.FRESH_S - 1
    issuer.status = 503  # so that the renewal in the background brings nothing
    assert (await judged(judge, twin)).subject == "u1"
    await settled(judge.keys)
    issuer.status = 200
    clock.now += 302

    assert jwks.FRESH_S + tokens.VERDICT_S <= 600
    for withdrawn in (token, twin):
        with pytest.raises(TokenRefused, match="publish"):
            await judged(judge, withdrawn)


@pytest.mark.parametrize("idle_s", [jwks.FRESH_S, 23 * 3_600.0])
async def test_keys_that_nobody_used_for_long_are_looked_for_first(
    issuer: Issuer, judge_of: Callable[..., Tokens], idle_s: float
) -> None:
    """Else the first token after a quiet night would be judged by keys of the evening."""
    clock = Clock(time.time())
    judge = judge_of(clock)
    judge.keys = Jwks(issuer.url, clock)
    old = issuer.token(lasts_s=90_000)
    await judged(judge, old)
    issuer.rotate("k2")
    new = issuer.token(lasts_s=90_000)

    clock.now += idle_s
    with pytest.raises(TokenRefused, match="publish"):
        await judged(judge, old)

    assert (await judged(judge, new)).subject == "u1"
    assert issuer.fetches == 2


async def test_a_key_server_that_is_down_costs_nothing_for_a_day(issuer: Issuer) -> None:
    """Stale on error: the last keys serve on, the server is asked every 30 s; a day is too old."""
    clock = Clock(1_000.0)
    keys = await keys_of(issuer, clock)
    issuer.status = 503
    clock.now += jwks.FRESH_S

    await keys.look()
    for _ in range(3):
        for _ in range(50):
            assert keys.find("k1")
            await asyncio.sleep(0)
        await settled(keys)
        clock.now += jwks.COOLDOWN_S
    assert issuer.fetches == 4

    clock.now = 1_000.0 + jwks.KEPT_S
    assert not keys.find("k1")
    await keys.look()
    assert not keys.find("k1")
    with pytest.raises(Unavailable):
        keys.check()


async def test_a_token_that_cannot_be_judged_is_no_bad_token(
    issuer: Issuer, judge_of: Callable[..., Tokens]
) -> None:
    """Without any keys the answer is 503, however often; a second later the key server may be back."""
    issuer.status = 500
    clock = Clock(time.time())
    judge = judge_of(clock)
    judge.keys = Jwks(issuer.url, clock)

    for number in range(20):
        with pytest.raises(Unavailable):
            await judged(judge, issuer.token(f"u{number}"))
    down = issuer.fetches
    issuer.status = 200
    clock.now += jwks.RETRY_S

    assert (await judged(judge, issuer.token("u1"))).subject == "u1"
    assert down == 1


async def test_a_failed_fetch_does_not_spend_the_look_for_a_new_key(
    issuer: Issuer, judge_of: Callable[..., Tokens]
) -> None:
    """A made-up kid during a blip of the key server must not keep out those whose key is really new."""
    clock = Clock(time.time())
    judge = judge_of(clock)
    judge.keys = Jwks(issuer.url, clock)
    await judged(judge, issuer.token("u1"))
    issuer.status = 503
    made_up = issuer.token("u1", header={"kid": "made-up"})
    for _ in range(20):
        with pytest.raises(Unavailable):
            await judged(judge, made_up)
    issuer.status = 200
    issuer.rotate("k2")

    with pytest.raises(Unavailable):
        await judged(judge, issuer.token("u2"))
    clock.now += jwks.RETRY_S

    assert (await judged(judge, issuer.token("u2"))).subject == "u2"
    assert issuer.fetches == 3
    with pytest.raises(TokenRefused, match="publish"):
        await judged(judge, made_up)


@pytest.mark.parametrize("broken", [b"[]", b"{", b'{"keys":[]}', b" " * (jwks.SIZE_LIMIT + 1)])
async def test_a_broken_key_set_does_not_replace_a_good_one(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    """Not a JWKS, not JSON, empty, or endless: the keys that we have stay."""
    clock = Clock(1_000.0)
    keys = await keys_of(issuer, clock)
    monkeypatch.setattr(issuer, "document", lambda: broken)
    clock.now += jwks.RENEW_S

    keys.find("k1")
    await settled(keys)

    assert issuer.fetches == 2
    assert keys.find("k1")


async def test_a_redirect_of_the_key_server_is_not_followed(issuer: Issuer) -> None:
    """Keys come from the address in the settings and from nowhere else."""
    issuer.status = 302

    keys = Jwks(issuer.url, Clock(1_000.0))
    await keys.look()

    assert keys.trouble == "status 302"
    assert issuer.fetches == 1


def test_infinite_times_are_no_times(issuer: Issuer) -> None:
    """`exp: 1e999` would be a token for ever."""
    from presence_svc.auth.claims import caller_of

    with pytest.raises(TokenRefused, match="not a time"):
        caller_of(good_claims() | {"exp": math.inf}, settings_for(issuer), time.time())


@pytest.mark.parametrize("nulls", [("use", "alg", "key_ops"), ("d", "p", "q"), ("kid",), ("x5c", "x5t", "k")])
def test_null_in_a_published_key_is_as_if_it_were_absent(nulls: tuple[str, ...]) -> None:
    """As serializers write it that know all members of all kinds of keys."""
    published = jwk.RSAKey.generate_key(2048, {"kid": "k1"}).as_dict(private=False)

    (key,) = from_jwks({"keys": [published | dict.fromkeys(nulls)]})

    assert key.algorithms == ("RS256",)
    assert key.kid == ("" if "kid" in nulls else "k1")


async def test_a_key_set_may_begin_with_a_byte_order_mark(
    issuer: Issuer, judge_of: Callable[..., Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some editors and frameworks write files: RFC 8259 lets a reader take no notice of it."""
    document = issuer.document()
    monkeypatch.setattr(issuer, "document", lambda: codecs.BOM_UTF8 + document)

    assert (await judged(judge_of(), issuer.token("u1"))).subject == "u1"


async def test_a_verdict_stands_by_the_time_that_has_passed(
    judge_of: Callable[..., Tokens], issuer: Issuer
) -> None:
    """The host's clock is set a day back, or forward: a verdict stands for five minutes all the same."""
    for step in (-86_400, 86_400):
        clock, elapsed = Clock(time.time()), Clock(100.0)
        judge, token = judge_of(clock, elapsed), issuer.token(exp=clock.now + 10 * 86_400).encode()
        verdict = await judged(judge, token.decode())
        clock.now += step
        known = judge.remembered(token)
        elapsed.now += tokens.VERDICT_S + 1

        assert known is not None
        assert known.subject == verdict.subject
        assert judge.remembered(token) is None

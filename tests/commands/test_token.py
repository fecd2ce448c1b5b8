"""`presence-svc token` makes tokens that are believed; `doctor --token` says of others why they are not."""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable, Iterator

import pytest
from joserfc import jwk

from presence_svc.commands import doctor
from presence_svc.commands.token import make
from presence_svc.errors import Misconfigured
from tests.auth.issuer import Issuer

SECRET = "a secret of the tests that is long enough"
KEY = "a-service-key-0123456789"
UNSIGNED = base64.urlsafe_b64encode(b'{"alg":"none","kid":"k1"}').decode().rstrip("=")
Make = Callable[[Issuer], str]
REFUSED: dict[str, tuple[Make, str]] = {
    "expired": (lambda issuer: issuer.token(lasts_s=-60), "the token has expired"),
    "early": (lambda issuer: issuer.token(nbf=time.time() + 600), "not valid yet"),
    "wrong audience": (lambda issuer: issuer.token(aud="shop"), "for another audience"),
    "wrong issuer": (lambda issuer: issuer.token(iss="https://evil.example"), "from another issuer"),
    "unknown kid": (lambda issuer: issuer.token(header={"kid": "k9"}), "that its issuer does not publish"),
    "forged": (lambda issuer: issuer.token(key=jwk.RSAKey.generate_key(2048)), "signature is invalid"),
    "none": (
        lambda issuer: UNSIGNED + "." + issuer.token().split(".")[1] + ".",
        "`alg` does not match its key",
    ),
    "malformed": (lambda issuer: issuer.token()[:40], "this is not a token"),
    "bytes that are no text": (lambda issuer: "\udcff", "this is not a token"),
    "courses of another claim": (
        lambda issuer: issuer.token(courses=["c1"]),
        "opens no course: its claim `opens` lists none",
    ),
}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PRESENCE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """Its tokens are believed here, and list their courses in `opens`."""
    with Issuer() as running:
        more = {"PRESENCE_JWT_COURSES_CLAIM": "opens", "PRESENCE_SERVICE_KEYS": KEY}
        for name, value in (running.env | more).items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are made and believed by a secret."""
    monkeypatch.setenv("PRESENCE_AUTH", "jwt")
    monkeypatch.setenv("PRESENCE_JWT_SECRET", SECRET)


@pytest.mark.parametrize("why", REFUSED)
def test_the_doctor_says_why_a_token_is_refused(
    issuer: Issuer, capsys: pytest.CaptureFixture[str], why: str
) -> None:
    """One line with the reason, status 1, and nothing of the token in it."""
    made, reason = REFUSED[why]
    token = made(issuer)

    status = doctor.run(token)

    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if " token: " in line]
    assert status == 1
    assert line.startswith("wrong token: ")
    assert reason in line
    assert not any(part in said for part in token.split(".") if len(part) > 8)


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer   ", "\n"])
def test_the_doctor_describes_a_token_that_would_be_believed(
    issuer: Issuer, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    """Also as it was copied from a header."""
    status = doctor.run(prefix + issuer.token("u1", name="Ada", opens=["c1", "c2"]) + "\n")

    said = capsys.readouterr().out
    assert status == 0
    assert re.search("^ok    token: viewer u1, name 'Ada', [0-9]+ s left, courses c1, c2$", said, re.M)
    assert "ok    keys: 1 published" in said


def test_the_doctor_knows_a_service_key(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    """An API key is no JWT, and believed."""
    assert doctor.run(KEY) == 0
    assert "ok    token: an API key of the service role" in capsys.readouterr().out


def test_a_name_cannot_forge_a_line(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    """What the token's owner has written stays within its line and its quotes."""
    doctor.run(issuer.token("u1", name="A\nok    redis: fine \x1b[31m\u202e", opens="*"))

    said = capsys.readouterr().out
    assert "'A\\nok    redis: fine  [31m', " in said
    assert not {"\x1b", "\u202e"} & set(said)


@pytest.mark.parametrize("token", [None, "a.b.c"])
def test_the_doctor_misses_the_issuers_keys(
    issuer: Issuer, capsys: pytest.CaptureFixture[str], token: str | None
) -> None:
    """With a token to look at or without: a service without keys answers 503 to everybody."""
    issuer.status = 404

    status = doctor.run(token)

    assert status == 1
    assert f"wrong keys: not fetched: status 404, {issuer.url}" in capsys.readouterr().out


def test_without_jwt_there_is_nothing_to_judge_by(capsys: pytest.CaptureFixture[str]) -> None:
    """A token is no matter for a trusted service, and its keys are none."""
    assert doctor.run() == 0
    assert "keys" not in capsys.readouterr().out
    assert doctor.run("a.b.c") == 1
    assert "wrong token: PRESENCE_AUTH is not jwt" in capsys.readouterr().out


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("preset", ["", "clerk"])
def test_a_token_that_is_made_is_believed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], preset: str
) -> None:
    """Whatever the settings ask for is in it."""
    if preset:
        monkeypatch.setenv("PRESENCE_JWT_PRESET", preset)
        monkeypatch.setenv("PRESENCE_JWT_AUTHORIZED_PARTIES", "https://app.example")
    monkeypatch.setenv("PRESENCE_JWT_AUDIENCE", "a,b")
    monkeypatch.setenv("PRESENCE_JWT_NAME_CLAIM", "user.full")
    monkeypatch.setenv("PRESENCE_JWT_COURSES_CLAIM", "opens")

    limited = make("ada", name="Ada", courses=("c1",), seconds=60)
    whole = make("ada", name=None, courses=(), seconds=60)

    assert doctor.run(limited) == doctor.run(whole) == 0
    said = re.sub("[0-9]+ s left", "some s left", capsys.readouterr().out)
    assert "viewer ada, name 'Ada', some s left, courses c1\n" in said
    assert "viewer ada, name None, some s left, any course\n" in said


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("viewer", ["anon~x", ""])
def test_no_token_is_made_that_would_be_refused(viewer: str) -> None:
    """Else one looks for the fault where it is not."""
    with pytest.raises(Misconfigured, match="would be refused: `sub`"):
        make(viewer, name=None, courses=(), seconds=60)


@pytest.mark.usefixtures("secret")
def test_no_token_opens_more_than_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the claim's name --course could not limit anything; what is no course's id opens nothing."""
    with pytest.raises(Misconfigured, match="PRESENCE_JWT_COURSES_CLAIM is not set"):
        make("ada", name=None, courses=("c1",), seconds=60)

    monkeypatch.setenv("PRESENCE_JWT_COURSES_CLAIM", "opens")
    with pytest.raises(Misconfigured, match="does not give access"):
        make("ada", name=None, courses=("c1", "a b"), seconds=60)

"""Settings: read from the environment, checked together, told by the name of the variable."""

from __future__ import annotations

import os

import pytest
from joserfc import jwk

from presence_svc.errors import Misconfigured
from presence_svc.settings import Settings, load, load_beside_others
from presence_svc.settings.identity import IdentitySettings

KEYS = ["key-one-" + "x" * 20, "key-two-" + "x" * 20]
PUBLIC_KEY = jwk.ECKey.generate_key("P-256").as_pem(private=False).decode()
OF_TOKENS = {
    "JWT_JWKS_URL": "https://issuer.example/keys",
    "JWT_PUBLIC_KEY": PUBLIC_KEY,
    "JWT_SECRET": "x" * 32,
    "JWT_PRESET": "clerk",
    "JWT_ISSUER": "https://issuer.example",
    "JWT_AUDIENCE": "players",
    "JWT_AUTHORIZED_PARTIES": "https://player.example",
    "JWT_LEEWAY": "1",
    "JWT_NAME_CLAIM": "nick",
    "JWT_PICTURE_CLAIM": "face",
    "JWT_COURSES_CLAIM": "courses",
    "NAMES_FROM_BODY": "true",
    "SERVICE_KEYS": KEYS[0],
    "ALLOW_ANONYMOUS": "true",
    "PUBLIC_COUNTS": "true",
    "PSEUDONYMS": "true",
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's environment."""
    for name in [name for name in os.environ if name.startswith("PRESENCE_")]:
        monkeypatch.delenv(name)


def test_defaults_are_the_contracts() -> None:
    """DESIGN section 7."""
    settings = load()

    assert (settings.ttl_ms, settings.hidden_ttl_ms, settings.leave_grace_ms) == (60_000, 150_000, 3_000)
    assert (settings.publish_interval_ms, settings.sweep_interval, settings.heartbeat_interval) == (
        250,
        1,
        30,
    )
    assert (settings.key_prefix, settings.port, settings.workers) == ("presence", 8000, 1)
    assert settings.redis_url is None
    assert settings.host == "127.0.0.1"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fractions of a second are allowed, lists are separated by commas."""
    monkeypatch.setenv("PRESENCE_TTL", "1.5")
    monkeypatch.setenv("PRESENCE_HEARTBEAT_INTERVAL", "0.5")
    monkeypatch.setenv("PRESENCE_LEAVE_GRACE", "0.25")
    monkeypatch.setenv("PRESENCE_SWEEP_INTERVAL", "0.4")
    monkeypatch.setenv("PRESENCE_CORS_ORIGINS", "https://a.example, https://b.example,")
    settings = load()

    assert (settings.ttl_ms, settings.leave_grace_ms) == (1_500, 250)
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TTL", "0"),
        ("TTL", "nan"),
        ("TTL", "inf"),
        ("TTL", "soon"),
        ("TTL", "20"),  # two heartbeats of 30 s do not fit
        ("HIDDEN_TTL", "59"),
        ("LEAVE_GRACE", "60"),
        ("PUBLISH_INTERVAL", "2.5"),
        ("HEARTBEAT_INTERVAL", "40"),
        ("PORT", "65536"),
        ("WORKERS", "0"),
        ("KEY_PREFIX", "a:b"),
        ("KEY_PREFIX", "{x}"),
        ("KEY_PREFIX", ""),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_TIMEOUT", "0.5"),
        ("CHAPTERS_PER_COURSE", "2048"),
        ("SESSIONS_PER_VIEWER", "0"),
        ("AUTH", "none"),
    ],
)
def test_what_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message names the variable, for single values and for those that contradict each other."""
    monkeypatch.setenv(f"PRESENCE_{name}", value)
    with pytest.raises(Misconfigured) as refused:
        load()

    assert f"PRESENCE_{name}" in refused.value.detail


@pytest.mark.parametrize("name", OF_TOKENS)
@pytest.mark.parametrize("auth", [None, "trusted"])
def test_protection_without_tokens_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, auth: str | None
) -> None:
    """What only tokens give effect to would look like protection without AUTH=jwt, and be none."""
    if auth:
        monkeypatch.setenv("PRESENCE_AUTH", auth)
    monkeypatch.setenv(f"PRESENCE_{name}", OF_TOKENS[name])
    with pytest.raises(Misconfigured) as refused:
        load()

    assert refused.value.detail == f"PRESENCE_{name}: is of no use without PRESENCE_AUTH=jwt"


def test_no_setting_of_tokens_is_left_out() -> None:
    """Of those that say who is believed, only these mean something without tokens."""
    others = IdentitySettings.model_fields.keys() - {name.lower() for name in OF_TOKENS}

    assert others == {"auth", "cors_origins", "log_addresses"}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("PRESENCE_JWT_COURSES_CLAIMS", "; is PRESENCE_JWT_COURSES_CLAIM meant?"),
        ("presence_hart_beat_interval", "; is PRESENCE_HEARTBEAT_INTERVAL meant?"),
        ("PRESENCE_QQQ", ""),
    ],
)
def test_a_misspelt_name_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, near: str) -> None:
    """Else it would leave every course open, say, and nobody would be told."""
    monkeypatch.setenv(name, "courses")
    monkeypatch.setenv("PRESENCE_TTL", "soon")
    with pytest.raises(Misconfigured) as refused:
        load()

    assert f"{name}: there is no such setting{near}" in refused.value.detail.splitlines()
    assert "PRESENCE_TTL" in refused.value.detail


@pytest.mark.parametrize(
    "name",
    [
        "PRESENCE_API_KEY",
        "PRESENCE_SERVICE_HOST",
        "PRESENCE_SVC_SERVICE_HOST",
        "PRESENCE_SVC_SERVICE_PORT",
        "PRESENCE_SVC_SERVICE_PORT_HTTP",
        "PRESENCE_SVC_PORT",
        "PRESENCE_SVC_PORT_8000_TCP",
        "PRESENCE_SVC_PORT_8000_TCP_ADDR",
        "PRESENCES",
    ],
)
def test_names_that_are_not_for_us_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The client's key, and what Kubernetes tells containers about a service of our name."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:8000")

    assert load().port == 8000


def test_a_client_lives_beside_its_programs_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that watches courses may call its own settings as it likes, and issue tokens for ours."""
    monkeypatch.setenv("PRESENCE_DASHBOARD_TITLE", "Now")
    monkeypatch.setenv("PRESENCE_JWT_ISSUER", "https://issuer.example")
    monkeypatch.setenv("PRESENCE_KEY_PREFIX", "lms")

    assert load_beside_others(redis_url="redis://localhost").key_prefix == "lms"


def test_a_refused_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong URL with a password in it does not end up in a log."""
    monkeypatch.setenv("PRESENCE_REDIS_URL", "http://user:hunter2@localhost")
    with pytest.raises(Misconfigured) as refused:
        load()

    assert "hunter2" not in refused.value.detail


def test_secrets_hide_themselves() -> None:
    """Neither str nor repr of the settings shows a password or a key."""
    settings = load(
        redis_url="redis://:hunter2@localhost",
        service_keys=f"{KEYS[0]},{KEYS[1]}",
        auth="jwt",
        jwt_secret="x" * 32,
    )

    assert "hunter2" not in f"{settings!r} {settings}"
    assert KEYS[0] not in f"{settings!r} {settings}"
    assert [key.get_secret_value() for key in settings.service_keys] == KEYS


def test_settings_do_not_change() -> None:
    """They are read once: nobody alters them under the feet of others."""
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(), "ttl", 5)  # noqa: B010 - mypy would refuse the plain form


def test_every_setting_is_described() -> None:
    """Each has a line for the README's table."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []

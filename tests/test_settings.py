"""Settings: read from the environment, checked together, told by the name of the variable."""

from __future__ import annotations

import os

import pytest

from presence_svc.errors import Misconfigured
from presence_svc.settings import Settings, load

KEYS = ["key-one-" + "x" * 20, "key-two-" + "x" * 20]


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

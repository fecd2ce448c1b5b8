"""Settings: read from the environment, checked together, told by the name of the variable."""

from __future__ import annotations

import os

import pytest
from joserfc import jwk
from pydantic import SecretStr

from presence_svc.errors import Misconfigured
from presence_svc.settings import Settings, ignored_names, load, load_beside_others
from presence_svc.settings.identity import IdentitySettings
from presence_svc.settings.names import RENAMED

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
    "JWT_ID_CLAIM": "user_id",
    "JWT_CREATOR_CLAIM": "teaches",
    "CREATOR_KEYS": KEYS[1] + " c1",
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
    """A service that nobody has configured behaves as the documentation says."""
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
        ("REDIS_URL", "http://localhost"),
        ("REDIS_TIMEOUT", "0.5"),
        ("CHAPTERS_PER_COURSE", "2048"),
        ("SESSIONS_PER_VIEWER", "0"),
        ("AUTH", "none"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy.example"),
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

    assert refused.value.detail == f"PRESENCE_{name}: has no effect without PRESENCE_AUTH=jwt"


def test_no_setting_of_tokens_is_left_out() -> None:
    """Of those that say who is believed, only these mean something without tokens."""
    others = IdentitySettings.model_fields.keys() - {name.lower() for name in OF_TOKENS}

    assert others == {"auth", "cors_origins", "log_addresses"}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("PRESENCE_JWT_COURSES_CLAIMS", "PRESENCE_JWT_COURSES_CLAIM"),
        ("presence_hart_beat_interval", "PRESENCE_HEARTBEAT_INTERVAL"),
        ("PRESENCE_ATUH", "PRESENCE_AUTH"),
        ("PRESENCE_TLL", "PRESENCE_TTL"),
    ],
)
def test_a_misspelt_name_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, near: str) -> None:
    """Else it would leave every course open, say, and nobody would be told."""
    monkeypatch.setenv(name, "courses")
    monkeypatch.setenv("PRESENCE_PORT", "soon")
    with pytest.raises(Misconfigured) as refused:
        load()

    assert f"{name}: there is no such setting; did you mean {near}?" in refused.value.detail.splitlines()
    assert "PRESENCE_PORT" in refused.value.detail


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_setting_is_refused_by_its_new_name(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    """An upgrade must not silently drop what an operator has set."""
    monkeypatch.setenv(f"PRESENCE_{old}", "7")
    with pytest.raises(Misconfigured) as refused:
        load()

    assert refused.value.detail == f"PRESENCE_{old}: this setting is now called PRESENCE_{new}"
    assert new.lower() in Settings.model_fields
    assert old.lower() not in Settings.model_fields


@pytest.mark.parametrize(
    "name",
    [
        "PRESENCE_API_KEY",
        "PRESENCE_IMAGE_TAG",
        "PRESENCE_LOG_LEVEL",
        "PRESENCE_HTTP_PORT",
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


KUBERNETES = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "8000",
    "SERVICE_PORT_HTTP": "8000",
    "PORT": "tcp://10.0.0.1:8000",
    "PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "PORT_8000_TCP_PROTO": "tcp",
    "PORT_8000_TCP_PORT": "8000",
    "PORT_8000_TCP_ADDR": "10.0.0.1",
}


@pytest.mark.parametrize(
    "service", ["PRESENCE", "PRESENCE_SVC", "PRESENCE_REDIS", "PRESENCE_REDIS_URL", "PRESENCE_AUTH"]
)
@pytest.mark.parametrize("address", ["10.0.0.1", "[fd00::1]"])
def test_a_service_of_our_name_says_nothing_to_us(
    monkeypatch: pytest.MonkeyPatch, service: str, address: str
) -> None:
    """Kubernetes puts these into every pod beside a Service called so; `serve` names them once."""
    names = [f"{service}_{name}" for name in KUBERNETES]
    for name, value in zip(names, KUBERNETES.values(), strict=True):
        monkeypatch.setenv(name, value.replace("10.0.0.1", address))

    assert (load().port, load().redis_url, load().auth) == (8000, None, None)
    assert ignored_names() == sorted(names)


@pytest.mark.parametrize("value", ["tcp8000", "tcp://", "http://10.0.0.1:8000", "8000/tcp"])
def test_a_mistake_in_the_same_variable_is_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Only what Kubernetes writes is recognised."""
    monkeypatch.setenv("PRESENCE_PORT", value)
    with pytest.raises(Misconfigured) as refused:
        load()

    assert "PRESENCE_PORT" in refused.value.detail


def test_a_port_that_is_none_of_ours_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by its value: no Service has written this one."""
    monkeypatch.setenv("PRESENCE_REDIS_PORT", "6379")
    with pytest.raises(Misconfigured) as refused:
        load()

    assert "PRESENCE_REDIS_PORT: there is no such setting" in refused.value.detail


@pytest.mark.parametrize("name", [*Settings.model_fields, "atuh"])
def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`${VAR:-}` in a compose file is how people say nothing; whatever kind of setting it is."""
    monkeypatch.setenv(f"PRESENCE_{name.upper()}", "")

    assert load() == Settings()


@pytest.mark.parametrize(("name", "nothing"), [("cors_origins", ()), ("trusted_proxies", "")])
def test_none_is_said_in_a_word(monkeypatch: pytest.MonkeyPatch, name: str, nothing: object) -> None:
    """Where nothing is not what goes without saying."""
    monkeypatch.setenv(f"PRESENCE_{name.upper()}", "none")

    assert getattr(load(), name) == nothing


def test_a_client_lives_beside_its_programs_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that watches courses may call its own settings as it likes, and issue tokens for ours."""
    monkeypatch.setenv("PRESENCE_DASHBOARD_TITLE", "Now")
    monkeypatch.setenv("PRESENCE_JWT_ISSUER", "https://issuer.example")
    monkeypatch.setenv("PRESENCE_KEY_PREFIX", "lms")

    assert load_beside_others(redis_url="redis://localhost").key_prefix == "lms"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "http://user:hunter2@localhost"),
        ("REDIS_URL", "redis://:hunter2/x@127.0.0.1:1"),
        ("REDIS_URL", "redis://:1/hunter2@127.0.0.1:1"),
        ("REDIS_URL", "redis://:1#hunter2@127.0.0.1:1"),
        ("REDIS_URL", "redis://:x@127.0.0.1:hunter2"),
        ("REDIS_URL", "redis://[hunter2"),
        ("JWT_SECRET", "hunter2"),
        ("SERVICE_KEYS", "hunter2"),
        ("JWT_PUBLIC_KEY", "hunter2"),
        ("JWT_PUBLIC_KEY", "-----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY-----"),
        ("PORT", "hunter2"),
    ],
)
def test_a_refused_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Neither a secret that is wrong nor a part of it ends up in a log; the name does."""
    monkeypatch.setenv("PRESENCE_AUTH", "jwt")
    monkeypatch.setenv(f"PRESENCE_{name}", value)
    with pytest.raises(Misconfigured) as refused:
        load()

    assert "hunter2" not in refused.value.detail
    assert f"PRESENCE_{name}: " in refused.value.detail


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:p%2Fw@[::1]:6379/0?health_check_interval=5",
        "rediss://u:p@h/",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_redis_urls_that_redis_py_reads_are_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """With a user, a password, a database and options, over TCP, TLS or a socket."""
    monkeypatch.setenv("PRESENCE_REDIS_URL", url)

    named = load().redis_url

    assert named is not None
    assert named.get_secret_value() == url


def test_only_what_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that waits for another setting is no fault of its own."""
    monkeypatch.setenv("PRESENCE_AUTH", "none")
    monkeypatch.setenv("PRESENCE_TTL", "soon")
    with pytest.raises(Misconfigured) as refused:
        load()

    names = {line.partition(":")[0] for line in refused.value.detail.splitlines()}
    assert names == {"PRESENCE_AUTH", "PRESENCE_TTL"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example/",
        "https://a.example/path",
        "a.example",
        "https://*.a.example",
        "https://A.example",
        "HTTPS://a.example",
        "https://a.example:443",
        "http://a.example:80",
        "https://a.example;https://b.example",
        "https://a.example https://b.example",
        "https://u@a.example",
        "https://",
        "null",
    ],
)
def test_an_origin_that_never_comes_is_refused(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    """Origins are compared letter by letter with what browsers send; `null` is anybody's."""
    monkeypatch.setenv("PRESENCE_CORS_ORIGINS", f"https://good.example,{origin}")
    with pytest.raises(Misconfigured) as refused:
        load()

    assert refused.value.detail.startswith(f"PRESENCE_CORS_ORIGINS: {origin} is not an origin")
    assert "https://host:port" in refused.value.detail


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://a.example",
        "http://localhost:3000",
        "http://[::1]:8000",
        "https://xn--bcher-kva.example:8443",
        "http://a.example:443",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
    ],
)
def test_origins_as_browsers_send_them_are_taken(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    """Any scheme, names, addresses, and ports that do not go unsaid."""
    monkeypatch.setenv("PRESENCE_CORS_ORIGINS", origin)

    assert load().cors_origins == (origin,)


@pytest.mark.parametrize("proxies", ["*", "", "10.0.0.0/8, ::1", "fd00::/8"])
def test_proxies_are_addresses_and_networks(proxies: str) -> None:
    """As uvicorn takes them; none means that nobody's word is taken."""
    assert load(trusted_proxies=proxies).trusted_proxies == proxies


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_a_key_that_cannot_verify_is_refused() -> None:
    """Private, short, of another kind, or no key at all; one written in a single line is taken."""
    good = {"auth": "jwt", "jwt_issuer": "i", "jwt_audience": "a"}
    wrong = {
        jwk.ECKey.generate_key("P-256").as_pem(private=True).decode(): "private",
        jwk.RSAKey.generate_key(1024).as_pem(private=False).decode(): "2048",
        jwk.OKPKey.generate_key("X25519").as_pem(private=False).decode(): "Ed25519",
        "garbage": "PEM",
    }
    for pem, reason in wrong.items():
        with pytest.raises(Misconfigured, match=f"PRESENCE_JWT_PUBLIC_KEY: .*{reason}"):
            load(jwt_public_key=pem, **good)

    taken = load(jwt_public_key=PUBLIC_KEY.replace("\n", "\\n"), **good)

    assert taken.jwt_public_key == PUBLIC_KEY


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


def test_how_long_history_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans have units; a number alone is seconds; on and off are words."""
    monkeypatch.setenv("PRESENCE_HISTORY_MINUTES", "72h")
    monkeypatch.setenv("PRESENCE_HISTORY_QUARTERS", "30 d")
    monkeypatch.setenv("PRESENCE_HISTORY_DAYS", "31536000")
    monkeypatch.setenv("PRESENCE_PEOPLE", "off")
    settings = load()

    assert (settings.minutes_ms, settings.quarters_ms) == (72 * 3_600_000, 30 * 86_400_000)
    assert settings.days_ms == 365 * 86_400_000
    assert settings.history_args == (60_000, "hll", 0)
    assert load(history=False).history_args[0] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HISTORY_MINUTES", "soon"),
        ("HISTORY_MINUTES", "10m"),
        ("HISTORY_QUARTERS", "1h"),
        ("HISTORY_QUARTERS", "3y"),
        ("HISTORY_DAYS", "1d"),
        ("HISTORY_DAYS", "99y"),
        ("UNIQUES", "some"),
        ("HISTORY", "perhaps"),
    ],
)
def test_history_that_cannot_be_kept(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tier outlives what it is made from; the message names the variable that is in the way."""
    monkeypatch.setenv(f"PRESENCE_{name}", value)

    with pytest.raises(Misconfigured, match=r"PRESENCE_(HISTORY|UNIQUES)"):
        load()


SECRET = "s" * 32


@pytest.mark.parametrize("blank", ["\n", "\r\n", " ", "\t"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", SECRET),
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_ID_CLAIM", "email"),
        ("REDIS_URL", "redis://:p@h/0"),
        ("HOST", "127.0.0.1"),
        ("FAST_PATH", "false"),
        ("KEY_PREFIX", "lms"),
    ],
)
def test_blanks_at_the_ends_are_nobodys(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, blank: str
) -> None:
    """A secret made with `echo` ends in a line's end: taken as its part, it would refuse every token."""
    env = {"AUTH": "jwt", "JWT_SECRET": SECRET, name: value + blank}
    for key, said in env.items():
        monkeypatch.setenv(f"PRESENCE_{key}", said)

    found = getattr(load(), name.lower())

    found = found.get_secret_value() if isinstance(found, SecretStr) else found
    assert str(found).lower() == value


def test_blanks_alone_are_an_unset_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an empty one is."""
    monkeypatch.setenv("PRESENCE_REDIS_URL", " \n")

    assert load().redis_url is None


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize(
    ("name", "value"), [("JWT_SECRET", SECRET), ("JWT_ISSUER", "https://i.example"), ("HOST", "127.0.0.1")]
)
def test_quotes_around_a_value_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, quote: str
) -> None:
    """A container's file of variables keeps them: the value would be another, and nobody would be told."""
    monkeypatch.setenv("PRESENCE_AUTH", "jwt")
    monkeypatch.setenv("PRESENCE_JWT_SECRET", SECRET)
    monkeypatch.setenv(f"PRESENCE_{name}", f"{quote}{value}{quote}")

    with pytest.raises(Misconfigured, match=f"PRESENCE_{name}: its value begins and ends with") as refused:
        load()

    assert value not in str(refused.value)

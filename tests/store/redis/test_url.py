"""What a Redis URL may say, and how what it may not say is refused."""

from __future__ import annotations

import inspect

import pytest
from redis.asyncio import Redis
from redis.asyncio import connection as redis_py

from presence_svc.errors import Misconfigured
from presence_svc.store.redis.url import ACCESS_OPTIONS, REFUSED, TLS_OPTIONS, Address, parse

TAKEN_BY = (
    Redis.__init__,
    redis_py.AbstractConnection.__init__,
    redis_py.Connection.__init__,
    redis_py.SSLConnection.__init__,
    redis_py.UnixDomainSocketConnection.__init__,
    redis_py.ConnectionPool.__init__,
    redis_py.BlockingConnectionPool.__init__,
)


def _known_to_redis_py() -> set[str]:
    """Every name that redis-py may take from behind a URL's question mark."""
    names = set(redis_py.URL_QUERY_ARGUMENT_PARSERS)
    for function in TAKEN_BY:
        names |= {p.name for p in inspect.signature(function).parameters.values() if p.kind != p.VAR_KEYWORD}
    return names - {"self"}


def test_every_option_of_redis_py_is_on_one_of_two_lists() -> None:
    """A redis-py with a new option fails here until somebody has decided what it does to us."""
    allowed = ACCESS_OPTIONS | TLS_OPTIONS

    assert _known_to_redis_py() - allowed - REFUSED.keys() == set()
    assert allowed & REFUSED.keys() == set()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_would_change_what_we_read_is_refused_by_name(name: str) -> None:
    """`?decode_responses=true` made streams silently deaf; none of its kind may."""
    for url in (f"redis://h/0?{name}=1", f"unix:///s?db=1&{name}=true", f"rediss://h?{name}="):
        with pytest.raises(Misconfigured, match=f"option {name} "):
            parse(url)


@pytest.mark.parametrize("name", sorted(TLS_OPTIONS))
def test_tls_options_are_for_tls(name: str) -> None:
    """Over a plain connection they would promise what is not kept."""
    with pytest.raises(Misconfigured, match="only with rediss"):
        parse(f"redis://h?{name}=1")


def test_an_unknown_option_is_refused_and_no_secret_is_shown() -> None:
    """A misspelt option gets the list of what there is: it may be a piece of a password with a ? in it."""
    with pytest.raises(Misconfigured, match="client_name") as refused:
        parse("redis://u:secret@h?password=hidden&clientname=x")

    assert "secret" not in refused.value.detail
    assert "clientname" not in refused.value.detail
    assert "hidden" not in refused.value.detail


def test_what_is_said_is_understood() -> None:
    """Addresses of each kind; user, password and database in front of the question mark or behind it."""
    address, access = parse("redis://u:p%40ss@[::1]:7000/3?client_name=presence")
    assert (address, str(address)) == (Address("::1", 7000), "[::1]:7000")
    assert (access.username, access.password, access.db, access.client_name) == ("u", "p@ss", 3, "presence")
    assert "p@ss" not in repr(access)

    address, access = parse("unix:///run/s.sock?db=2&password=x")
    assert (address.path, access.db, access.password, access.tls) == ("/run/s.sock", 2, "x", None)

    assert parse("rediss://h")[1].context() is not None
    assert parse("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false")[1].tls is not None


@pytest.mark.parametrize("url", ["redis://h?db=x", "rediss://h?ssl_ca_certs=/no/such/file"])
def test_what_cannot_be_used_is_said_at_once(url: str) -> None:
    """Not at the first connection."""
    with pytest.raises(Misconfigured, match="PRESENCE_REDIS_URL"):
        parse(url)

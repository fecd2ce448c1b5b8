"""One setting serves IPv4 and IPv6, on one port; who may reach us is judged for all of its addresses."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable

import pytest

from presence_svc.commands.listeners import is_loopback, listen, url_of
from presence_svc.commands.serve import check_exposure
from presence_svc.errors import Misconfigured
from presence_svc.settings import load
from tests.rig import Service


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
LOOPBACK = ["127.0.0.1", "::1"]


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("[::1]", ["::1"]),
        ("localhost", LOOPBACK),
        ("127.0.0.1, ::1", LOOPBACK),
        ("::", ["0.0.0.0", "::"]),
        ("*", ["0.0.0.0", "::"]),
        ("0.0.0.0", ["0.0.0.0"]),
        ("0.0.0.0,::", ["0.0.0.0", "::"]),
        ("::,0.0.0.0", ["0.0.0.0", "::"]),
        ("localhost,127.0.0.1", LOOPBACK),
        ("::1,::1", ["::1"]),
    ],
)
def test_each_address_has_a_socket_and_all_have_one_port(host: str, addresses: list[str]) -> None:
    """Port 0 is one free port, the same for all."""
    with listen(load(host=host, port=0, auth="trusted")) as found:
        names = [listener.getsockname()[:2] for listener in found]

    assert [name for name, _ in names] == addresses
    assert len({port for _, port in names}) == 1
    assert names[0][1] > 0


@needs_ipv6
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("host", ["localhost", "::", "127.0.0.1,::1"])
def test_both_families_are_served(spawn_service: Callable[..., Service], host: str, workers: str) -> None:
    """By each worker; clients of either family come under their own address."""
    service = spawn_service({"PRESENCE_HOST": host, "PRESENCE_AUTH": "trusted", "PRESENCE_WORKERS": workers})
    for address in ("127.0.0.1", "[::1]"):
        url = f"http://{address}:{service.port}/readyz"
        with urllib.request.urlopen(url, timeout=5) as reply:
            assert reply.status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.1,::1", "127.0.0.2"])
def test_loopback_needs_no_word(host: str) -> None:
    """Nobody else can call."""
    assert is_loopback(load(host=host))
    check_exposure(load(host=host))


@pytest.mark.parametrize("host", ["::", "*", "0.0.0.0", "127.0.0.1,0.0.0.0", "::1,192.0.2.1", "example.org"])
def test_one_address_that_others_reach_needs_one(host: str) -> None:
    """Also when the others are loopback."""
    with pytest.raises(Misconfigured, match="PRESENCE_AUTH"):
        check_exposure(load(host=host))


def test_a_port_that_is_taken_is_named() -> None:
    """By the address that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(Misconfigured, match=f"cannot listen on 127.0.0.1:{port}"),
            listen(load(host="127.0.0.1", port=port)),
        ):
            pass


def test_commas_alone_are_no_address() -> None:
    """Nothing would be listened on, and nothing said."""
    with pytest.raises(Misconfigured, match="PRESENCE_HOST"):
        load(host=" , ")


def test_the_url_is_one_to_open() -> None:
    """Of this machine."""
    with listen(load(host="0.0.0.0", port=0, auth="trusted")) as found:
        assert url_of(found[0]).startswith("http://127.0.0.1:")

"""Where `presence-svc serve` may listen, and what uvicorn is told. Processes: tests/test_cli.py."""

from __future__ import annotations

import pytest
import uvicorn

from presence_svc.commands.serve import check_exposure, server_options
from presence_svc.errors import Misconfigured
from presence_svc.settings import load


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_auth(host: str) -> None:
    """On loopback one may try things out."""
    check_exposure(load(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.test"])
def test_anywhere_else_needs_auth_in_so_many_words(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without PRESENCE_AUTH it is refused; `trusted` is taken at its word, with a warning."""
    with pytest.raises(Misconfigured, match=r"PRESENCE_AUTH=jwt, or PRESENCE_AUTH=trusted"):
        check_exposure(load(host=host))

    check_exposure(load(host=host, auth="trusted"))

    assert f"PRESENCE_AUTH=trusted on {host}" in capsys.readouterr().err


def test_uvicorn_is_told_what_the_settings_say() -> None:
    """Proxies, processes and address reach uvicorn; what leaks or stalls is switched off."""
    settings = load(host="127.0.0.1", port=0, workers=3, trusted_proxies="10.0.0.1")

    config = uvicorn.Config(**server_options(settings))

    assert (config.host, config.port, config.workers) == ("127.0.0.1", 0, 3)
    assert config.forwarded_allow_ips == "10.0.0.1"
    assert not config.server_header
    assert not config.ws_per_message_deflate
    assert config.timeout_graceful_shutdown is not None
    assert config.timeout_graceful_shutdown < 10

"""The app on an ASGI server that is not ours."""

from __future__ import annotations

import pytest

from presence_svc.app import app_from_env
from presence_svc.errors import Misconfigured


def test_another_server_is_not_trusted_to_listen_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `uvicorn --factory` listens we cannot see, so PRESENCE_AUTH must be set."""
    monkeypatch.delenv("PRESENCE_AUTH", raising=False)
    with pytest.raises(Misconfigured, match=r"PRESENCE_AUTH is not set.*PRESENCE_AUTH=trusted"):
        app_from_env()

    monkeypatch.setenv("PRESENCE_AUTH", "trusted")

    assert callable(app_from_env())

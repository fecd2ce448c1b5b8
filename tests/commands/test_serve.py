"""What `serve` says at its start about an environment that is not all its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.rig import Service

LINKS = {
    "PRESENCE_SERVICE_HOST": "10.0.0.1",
    "PRESENCE_SERVICE_PORT": "8000",
    "PRESENCE_SVC_PORT": "tcp://10.0.0.1:8000",
    "PRESENCE_REDIS_URL_SERVICE_HOST": "10.0.0.2",
}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_variables_of_others_are_named_once(spawn_service: Callable[..., Service], workers: str) -> None:
    """By the parent: each worker reads the same environment."""
    service = spawn_service(LINKS | {"PRESENCE_WORKERS": workers, "PRESENCE_REDIS_URL": ""})

    assert service.logs().count("ignored, since no settings of ours") == 1
    assert all(name in service.logs() for name in LINKS)

"""The host's clock is set, a day forward and two back, under streams, sockets, rates and tokens."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc import jwk, jwt

from presence_svc.store.redis.embedded import EmbeddedServer
from tests.rig import VALKEY, Service, real_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

SECRET = "a secret of thirty-two bytes, it is"
KEY = "a-service-key-of-the-host-clock"
ENV = {
    "PRESENCE_AUTH": "jwt",
    "PRESENCE_JWT_SECRET": SECRET,
    "PRESENCE_SERVICE_KEYS": KEY,
    "PRESENCE_ALLOW_ANONYMOUS": "true",
    "PRESENCE_READ_BURST": "20",
    "PRESENCE_READ_RATE": "1",
}
STEPS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2, signal.SIGUSR1)  # a day forward, two back, as it was


class SteppedService(Service):
    """Its host's clock can be set (tests.faults.stepped)."""

    def __init__(self, env: dict[str, str]) -> None:
        super().__init__(env)
        self._command = [sys.executable, "-m", "tests.faults.stepped", "serve"]

    def step(self, number: int) -> None:
        os.kill(self.pid, number)
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with real_server(VALKEY) as running:
        yield running


@pytest.fixture
def service(server: EmbeddedServer) -> Iterator[SteppedService]:
    with SteppedService({"PRESENCE_REDIS_URL": server.url, **ENV}) as running:
        yield running


def token(viewer: str, seconds: float) -> dict[str, str]:
    claims: dict[str, Any] = {"sub": viewer, "exp": time.time() + seconds}
    made = jwt.encode({"alg": "HS256"}, claims, jwk.OctKey.import_key(SECRET))
    return {"Authorization": f"Bearer {made}"}

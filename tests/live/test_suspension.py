"""A replica that was suspended records no old requests of its clients."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import pytest

from presence_svc.live import suspension
from presence_svc.live.suspension import SuspensionDetector
from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.live.eventually import eventually
from tests.rig import Service

FAST = {"PRESENCE_TTL": "2", "PRESENCE_HIDDEN_TTL": "2", "PRESENCE_HEARTBEAT_INTERVAL": "1"} | {
    "PRESENCE_LEAVE_GRACE": "0.5"
}
BEAT = b'{"viewer_id":"ada","session_id":"s","seq":1}'
HEAD = b"POST /v1/courses/c1/heartbeat HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"

REQUEST = HEAD + b"content-length: %d\r\n\r\n" % len(BEAT) + BEAT


async def test_late_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment after the loop has not turned for long, whoever asks first; and not otherwise."""
    monkeypatch.setattr(suspension, "GRACE_S", 0.1)
    watch = SuspensionDetector(0.5)
    assert not watch.is_late()
    watch.start()
    assert not watch.is_late()
    time.sleep(0.7)  # noqa: ASYNC251 - this is the fault
    assert watch.is_late()
    await eventually("over", lambda: not watch.is_late())
    await asyncio.sleep(0.05)
    assert not watch.is_late()
    watch.stop()


def test_a_stopped_replica_brings_nobody_back(
    own_server: EmbeddedServer, spawn_service: SpawnService
) -> None:
    """SIGSTOP for longer than a TTL: a heartbeat that lay in its socket is refused; new ones are taken."""
    env = {"PRESENCE_REDIS_URL": own_server.url, **FAST}
    stopped, other = spawn_service(env), spawn_service(env)
    with socket.create_connection(("127.0.0.1", stopped.port), 10) as client:
        client.sendall(REQUEST)
        assert b" 200 " in client.recv(65_536)
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            client.sendall(REQUEST)
            time.sleep(4)
            assert _total(other) == 0
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        answer = client.recv(65_536)

        assert b" 503 " in answer
        assert b"retry-after" in answer.lower()
        assert _total(other) == 0
        time.sleep(1.5)
        client.sendall(REQUEST)
        assert b" 200 " in client.recv(65_536)
    assert "was suspended" in stopped.logs()


def _total(service: Service) -> int:
    import httpx2

    return int(httpx2.get(f"{service.url}/v1/courses/c1/count").json()["total"])

"""A replica that was suspended records no old requests of its clients."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from contextlib import ExitStack

import httpx2
import pytest

from presence_svc.live import suspension
from presence_svc.live.suspension import SuspensionDetector
from presence_svc.store.redis.embedded import EmbeddedServer
from tests.conftest import SpawnService
from tests.faults import loud
from tests.live.eventually import eventually
from tests.rig import Service
from tests.web.socket_client import SocketClient

FAST = {"PRESENCE_TTL": "2", "PRESENCE_HIDDEN_TTL": "2", "PRESENCE_HEARTBEAT_INTERVAL": "1"} | {
    "PRESENCE_LEAVE_GRACE": "0.5"
}


def _request(path: bytes, body: bytes) -> bytes:
    head = b"POST /v1/%b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (path, len(body)) + body


REQUEST = _request(b"courses/c1/heartbeat", b'{"viewer_id":"ada","session_id":"s","seq":1}')
BATCH = b'{"heartbeats":[{"course_id":"c1","viewer_id":"bob","session_id":"s","seq":1}]}'
WAITS = {
    "heartbeat": REQUEST,
    "batch": _request(b"heartbeats", BATCH),
    "leave": _request(b"courses/c2/leave", b'{"viewer_id":"ada","session_id":"s"}'),
}
JOIN = loud.SOCKET.replace(b"/loud/", b"/c1/") + loud.JOIN


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


@pytest.mark.slow
async def test_a_stopped_replica_brings_nobody_back(
    own_server: EmbeddedServer, spawn_service: SpawnService
) -> None:
    """SIGSTOP for longer than a TTL: whatever waited, however it came, counts for nothing afterwards."""
    env = {"PRESENCE_REDIS_URL": own_server.url, **FAST}
    stopped, other = spawn_service(env), spawn_service(env)
    with ExitStack() as stack:
        await _stopped_for_long(stopped, other, stack)


async def _stopped_for_long(stopped: Service, other: Service, stack: ExitStack) -> None:
    def connected() -> socket.socket:
        return stack.enter_context(socket.create_connection(("127.0.0.1", stopped.port), 10))

    lines = {kind: connected() for kind in WAITS}
    for kind, line in lines.items():
        line.sendall(WAITS[kind] if kind != "leave" else REQUEST)
        assert b" 200 " in line.recv(65_536), kind
    async with (
        SocketClient(stopped, "c1", viewer_id="sue", session_id="s", seq=1) as sue,
        SocketClient(stopped, "c1", viewer_id="tom", session_id="s", seq=1) as tom,
    ):
        assert _total(other) == 4
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            for viewer in ("sue", "tom"):
                _post(other, "c1/leave", viewer_id=viewer, session_id="s", seq=9)
            for kind, line in lines.items():
                line.sendall(WAITS[kind] * 3)
            await sue.say("chapter", chapter_id="ch-1")
            connected().sendall(JOIN)
            await asyncio.sleep(4)
            assert _total(other) == 0
            _post(other, "c2/heartbeat", viewer_id="ada", session_id="s", seq=5)
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        for kind in ("heartbeat", "leave"):
            answer = lines[kind].recv(65_536)
            assert b" 503 " in answer, kind
            assert b"retry-after" in answer.lower()
        assert _total(other, "c2") == 1
        assert b'"status":503' in lines["batch"].recv(65_536)
        assert await tom.closed() == await sue.closed() == 1001  # come back, and say who you are
        assert tom.told[-1]["type"] == "bye"
        await asyncio.sleep(1.5)
        assert _total(other) == 0
        late = connected()
        late.sendall(REQUEST)
        assert b" 200 " in late.recv(65_536)
    assert "was suspended" in stopped.logs()


def _post(service: Service, path: str, **said: object) -> None:
    assert httpx2.post(f"{service.url}/v1/courses/{path}", json=said, timeout=10).status_code < 300


def _total(service: Service, course: str = "c1") -> int:
    return int(httpx2.get(f"{service.url}/v1/courses/{course}/count", timeout=10).json()["total"])

"""Traces on and off: off nothing of them is loaded, on they reach a collector as OTEL_* says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from tests.rig import ROOT, VALKEY, Service, real_server, wait_until

OFF = """
import sys
import presence_svc.app, presence_svc.commands.serve as serve, presence_svc.settings as settings
from presence_svc.store.presence import Presence
made = settings.load(redis_url="redis://127.0.0.1:1")
app = presence_svc.app.create_app(made)
link = presence_svc.app.open_link(made)
presence = Presence(link, made)
commits = {type(presence._writes).__name__, type(presence._reads).__name__}
print(type(app).__name__, *commits, "results" in vars(link))
print(serve.server_options(made)["http"].__name__)
ours = {"presence_svc.tracing", "opentelemetry.sdk.trace"}  # redis-py loads other parts by itself
print([name for name in sys.modules if "traced" in name or name in ours])
"""
ABSENT = "import sys; sys.modules['opentelemetry'] = None; "


def _python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PRESENCE_", "OTEL_"))}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("before", ["", ABSENT], ids=["with the extra", "without it"])
def test_off_costs_nothing(before: str) -> None:
    """The app, group commits and link are the plain ones, the fast path is on, and no module is loaded."""
    done = _python(before + OFF)

    assert done.stdout.splitlines() == ["Dispatch GroupCommit False", "FastPathProtocol", "[]"]


def test_without_the_extra_it_is_refused_by_name() -> None:
    code = "import presence_svc.settings as s\ntry: s.load()\nexcept Exception as error: print(error.detail)"

    done = _python(ABSENT + code, PRESENCE_OTEL="on")

    assert done.stdout.strip() == "PRESENCE_OTEL: needs the extra: pip install 'presence-svc[otel]'"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An OTLP collector's address, and what it has got: path and body."""
    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_serve_sends_to_the_collector_that_otel_names(
    collector: tuple[str, list[tuple[str, bytes]]],
) -> None:
    """The standard variables are enough; what was not sent yet is sent at the end."""
    pytest.importorskip("opentelemetry.sdk.trace")
    url, got = collector
    env = {
        "PRESENCE_OTEL": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",
    }
    with real_server(VALKEY) as server, Service(env | {"PRESENCE_REDIS_URL": server.url}) as service:
        beat = httpx2.post(f"{service.url}/v1/courses/c/heartbeat", json={"viewer_id": "u1"})
        assert beat.status_code == 200
        assert service.terminate() == 0
        wait_until(lambda: bool(got))

    paths, body = {path for path, _ in got}, b"".join(content for _, content in got)
    assert paths == {"/v1/traces"}
    assert b"/v1/courses/{course_id}/heartbeat" in body
    assert b"presence-svc" in body


def test_a_collector_that_is_away_harms_nobody() -> None:
    """Requests are answered as ever, and the end comes in time."""
    pytest.importorskip("opentelemetry.sdk.trace")
    env = {"PRESENCE_OTEL": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with real_server(VALKEY) as server, Service(env | {"PRESENCE_REDIS_URL": server.url}) as service:
        for viewer in range(20):
            beat = {"viewer_id": f"u{viewer}"}
            assert httpx2.post(f"{service.url}/v1/courses/c/heartbeat", json=beat).status_code == 200

        assert service.terminate() == 0


def test_an_exporter_that_is_not_there_is_refused_by_name() -> None:
    pytest.importorskip("opentelemetry.sdk.trace")
    env = {"PRESENCE_OTEL": "on", "OTEL_TRACES_EXPORTER": "zipkin"}
    code = (
        "import presence_svc.app as a, presence_svc.settings as s\n"
        "try: a.create_app(s.load())\nexcept Exception as error: print(type(error).__name__, error.detail)"
    )

    done = _python(code, **env)

    said = "Misconfigured OTEL_TRACES_EXPORTER: no exporter of this name is installed: zipkin"
    assert done.stdout.strip() == said

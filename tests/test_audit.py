"""`.ci/audit` finds a pin with known holes, and calls nothing clean of which nothing is known."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.rig import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("pip-audit") is None, reason="pip-audit is not installed"),
]
CANARY = {"starlette": "an old one of its holes"}


@contextmanager
def _known(vulnerable: dict[str, str]) -> Iterator[str]:
    """The address of a database on this machine that calls every version of these packages vulnerable."""

    class Database(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            package, old = asked["package"], asked["version"].startswith("0.")
            known = package["name"] in vulnerable and (old or package["name"] not in CANARY)
            found: dict[str, object] = {
                "id": "PYSEC-1",
                "details": vulnerable.get(package["name"]),
                "affected": [],
            }
            answer = json.dumps({"vulns": [found]} if known else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _audit(source: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": source}
    return subprocess.run(
        [ROOT / ".ci" / "audit"], env=env, capture_output=True, text=True, timeout=100, check=False
    )


def test_a_vulnerable_pin_fails() -> None:
    with _known(CANARY | {"h11": "a hole that is open"}) as source:
        audited = _audit(source)

    assert audited.returncode == 1
    assert "h11" in audited.stdout


def test_clean_pins_pass() -> None:
    with _known(CANARY) as source:
        audited = _audit(source)

    assert audited.returncode == 0
    assert "SKIPPED" not in audited.stdout
    assert "No known vulnerabilities found" in audited.stderr


def test_a_source_that_knows_nothing_is_no_verdict() -> None:
    with _known({}) as source:
        audited = _audit(source)

    assert audited.returncode == 0
    assert audited.stdout.strip().splitlines()[-1].startswith("SKIPPED")


def test_a_source_that_is_away_is_no_verdict() -> None:
    with _known({}) as source:
        pass

    assert _audit(source).stdout.strip().splitlines()[-1].startswith("SKIPPED")

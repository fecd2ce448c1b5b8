"""What we are measured beside: an empty ASGI app, Go with the Centrifuge library, a bare writer, nchan.

Built from Debian's packages where they need building. Raises Missing when those are not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import rig
from tests.benchmarks.process import Program
from tests.benchmarks.row import Missing, need

GOPATH = Path("/usr/share/gocode")
CENTRIFUGE = GOPATH / "src/github.com/centrifugal/centrifuge"
CENTRIFUGE_PACKAGES = (
    "golang-go, and golang-github- centrifugal-centrifuge-dev, centrifugal-protocol-dev,"
    " fzambia-eagle-dev, igm-sockjs-go-dev, mna-redisc-dev"
)
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
BUILD_DEADLINE_S = 300.0
NGINX = """
load_module {module};
daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
  uwsgi_temp_path {directory}; scgi_temp_path {directory};
  server {{
    listen 127.0.0.1:{port};
    location = /publish {{ nchan_publisher; nchan_channel_id course; nchan_message_buffer_length 1; }}
    location = /listen {{ nchan_subscriber eventsource; nchan_channel_id course; }}
  }}
}}
"""


def empty_app() -> Program:
    """An ASGI app that does nothing, on uvicorn as we run it."""
    port = rig.free_port()
    options = ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--no-access-log"]
    options += ["--log-level", "warning", "--no-server-header", "--port", str(port)]
    return Program([sys.executable, "-m", "uvicorn", "tests.benchmarks.peers.empty:app", *options], port)


def writer() -> Program:
    """A uvloop server that writes what it is told to every connection."""
    port = rig.free_port()
    return Program([sys.executable, "-m", "tests.benchmarks.peers.writer", str(port)], port)


@contextmanager
def centrifuge(redis_url: str) -> Iterator[Program]:
    """Our small Go server on the Centrifuge library with its Redis presence manager, on one core."""
    go = need("go", "golang-go")
    if not CENTRIFUGE.exists():
        raise Missing(f"the Centrifuge library is not installed (Debian: {CENTRIFUGE_PACKAGES})")
    source = Path(__file__).parent / "centrifuge" / "main.go"
    port = rig.free_port()
    with TemporaryDirectory(prefix="presence-peer-") as directory:
        binary = f"{directory}/peer"
        built = subprocess.run(
            [go, "build", "-o", binary, str(source)],
            env={**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH)},
            capture_output=True,
            text=True,
            timeout=BUILD_DEADLINE_S,
            check=False,
        )
        if built.returncode:
            raise Missing(f"the Go peer cannot be built here: {built.stderr.strip()[-300:]}")
        with Program([binary, f"127.0.0.1:{port}", redis_url], port, {"GOMAXPROCS": "1"}) as running:
            yield running


@contextmanager
def nchan() -> Iterator[Program]:
    """nginx with nchan and one worker."""
    nginx = need("nginx", "nginx-light")
    if not NCHAN.exists():
        raise Missing("nchan is not installed (Debian: libnginx-mod-nchan)")
    port = rig.free_port()
    with TemporaryDirectory(prefix="presence-nchan-") as directory:
        conf = Path(directory) / "nginx.conf"
        conf.write_text(NGINX.format(module=NCHAN, directory=directory, port=port))
        with Program([nginx, "-p", directory, "-c", str(conf)], port) as running:
            yield running

"""A default nginx in front of the service, as people put one: below a path, with 8 KiB of request line.

Used by the tests of catalogues and places; needs Debian's nginx.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests import rig

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /presence/ {{
      proxy_pass http://127.0.0.1:{target}/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_read_timeout 75s;
    }}
    location = /assets/badge.js {{
      add_header Access-Control-Allow-Origin *;
      return 302 http://127.0.0.1:{port}/presence/live-viewer-badge.js;
    }}
  }}
}}
"""


@contextmanager
def nginx(target: int) -> Iterator[str]:
    """Gives its address; the service is below /presence/."""
    program = rig.need("nginx")
    port = rig.free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nginx.conf"
        path.write_text(CONFIGURATION.format(folder=folder, port=port, target=target))
        process = subprocess.Popen([program, "-c", str(path), "-p", folder], stderr=subprocess.DEVNULL)
        try:
            _until_open(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _until_open(port: int) -> None:
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("nginx does not listen")

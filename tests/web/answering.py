"""A web server of somebody else that answers as it is told, and counts how often it is asked."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Answering:
    """`status` and `body` are what it answers; `asked` how often."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, b"{}", 0
        said = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said.asked += 1
                self.send_response(said.status)
                self.send_header("Content-Length", str(len(said.body)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(said.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/titles.json"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

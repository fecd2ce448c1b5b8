"""What browser tests stand on: pages on another origin, other viewers by HTTP, a failing proxy.

Used by conftest.py and the tests; needs the extra `browser` and a Chromium.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
from playwright.sync_api import Error, Locator, Page
from redis import Redis

from tests.described import check_change

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]
BAD_GATEWAY = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Connection: close\r\n\r\n"
)


class Site:
    """A site of somebody else: serves the pages that it is given, on an origin of its own."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, str, dict[str, str]]] = {
            "/favicon.ico": ("image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg'/>", {})
        }
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = site.pages.get(self.path.partition("?")[0])
                media_type, text, headers = found or ("text/plain", "", {})
                self.send_response(200 if found else 404)
                for name, value in {"Content-Type": media_type, **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(
        self, text: str, path: str = "", media_type: str = "text/html; charset=utf-8", **headers: str
    ) -> str:
        """Publishes a page (its headers with _ for -) and gives its address."""
        path = path or f"/page-{len(self.pages)}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (media_type, text, named)
        return self.url + path

    def show(self, page: Page, base_url: str, body: str, *, head: str = "") -> None:
        """Publishes a page that has the badge's script from there, and goes to it."""
        page.goto(self.add(blank(base_url, body, head=head)))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Others:
    """Viewers who are not in a browser: plain HTTP to the service."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def beat(self, course: str, viewer: str, **body: object) -> dict[str, Any]:
        return self._ask("POST", course, "heartbeat", {"viewer_id": viewer, **body})

    def leave(self, course: str, viewer: str) -> None:
        self._ask("POST", course, "leave", {"viewer_id": viewer})

    def count(self, course: str) -> dict[str, Any]:
        return self._ask("GET", course, "count")

    def viewers(self, course: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", course, "viewers")["viewers"]
        return found

    def _ask(self, method: str, course: str, what: str, body: object = None) -> dict[str, Any]:
        path = f"{self.url}/v1/courses/{course}/{what}"
        reply = httpx2.request(method, path, json=body, headers=self._headers, timeout=5)
        reply.raise_for_status()
        return reply.json() if reply.content else {}


class Proxy:
    """Something in front of the service: passes bytes on, or cuts every connection and answers 502.

    `held` is what it keeps of streams for itself, as virus scanners do: "", "whole", "body", or "rest": what
    comes later than half a second after a stream's head, also of open streams.
    """

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.is_bad = False
        self.held = ""
        self.comments = 0  # that have passed
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def fail(self) -> None:
        """From now on 502; what is open is cut."""
        self.is_bad = True
        for each in list(self._open):
            _end(each)

    def recover(self) -> None:
        self.is_bad = False

    def keeps(self, data: bytes) -> bool:
        """Whether it keeps this answer for itself. None of them, unless a test says otherwise."""
        return False

    def close(self) -> None:
        _end(self._listener)
        self.fail()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.is_bad:
                client.recv(65_536)
                client.sendall(BAD_GATEWAY)
                return
            with socket.create_connection(self.target) as upstream:
                self._open |= {client, upstream}
                threading.Thread(target=_pump, args=(upstream, client, _Sieve(self)), daemon=True).start()
                _pump(client, upstream)
                self._open -= {client, upstream}


class _Sieve:
    """What a proxy lets pass of one connection to a browser; once it holds bytes back it goes on doing so."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._is_holding = False
        self._streams_since = 0.0

    def __call__(self, data: bytes) -> bytes:
        passed = self._pass(data)
        self._proxy.comments += b": keep-alive" in passed
        return passed

    def _pass(self, data: bytes) -> bytes:
        if self._proxy.keeps(data):
            return b""
        held, is_head = self._proxy.held, b"text/event-stream" in data
        if is_head:
            self._streams_since = time.monotonic()
        if self._is_holding or not held or not self._streams_since:
            return b"" if self._is_holding else data
        if held == "rest":
            self._is_holding = time.monotonic() > self._streams_since + 0.5
            return b"" if self._is_holding else data
        self._is_holding = is_head
        if not is_head:
            return data  # of a stream that was open before
        return b"" if held == "whole" else data[: data.index(b"\r\n\r\n") + 4]


def _pump(source: socket.socket, target: socket.socket, sieve: Callable[[bytes], bytes] = bytes) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(sieve(data))
    _end(source)
    _end(target)


def _end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


@contextmanager
def published(redis_url: str, course: str) -> Iterator[list[dict[str, Any]]]:
    """Collects the changes that are published for a course, for as long as the block lasts."""
    heard: list[dict[str, Any]] = []
    ended = threading.Event()
    with Redis.from_url(redis_url) as client, client.pubsub() as subscription:
        subscription.subscribe(f"presence:{{{course}}}:changes")

        def listen() -> None:
            while not ended.is_set():
                message = subscription.get_message(ignore_subscribe_messages=True, timeout=0.05)
                if message:
                    heard.append(json.loads(message["data"]))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield heard
        finally:
            ended.set()
            thread.join(5)
            for change in heard:
                check_change(change)


def blank(base_url: str, body: str, *, head: str = "") -> str:
    """An HTML file as a new user writes it: the script, and whatever is on the page."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>{head}'
        f'<script type="module" src="{base_url}/live-viewer-badge.js"></script></head>'
        f"<body><main><h1>A course</h1>{body}</main></body></html>"
    )


def badge(course: str, viewer: str = "", **attributes: str | bool) -> str:
    """The tag, with attributes in snake case."""
    given: dict[str, str | bool] = {"course_id": course, **attributes}
    if viewer:
        given["viewer_id"] = viewer
    written = [
        name.replace("_", "-") + ("" if value is True else f'="{value}"')
        for name, value in given.items()
        if value is not False
    ]
    return f"<live-viewer-badge {' '.join(written)}></live-viewer-badge>"


def frame(event: str, **data: object) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


def count_frame(course: str, total: int, version: int = 1) -> str:
    rest = {"anonymous": 0, "chapters": {}, "version": version, "as_of": version, "warming": False}
    return frame("count", course_id=course, total=total, named=total, **rest)


def serve_stream(site: Site, frames: str) -> None:
    """Makes the site a service that says just this, whatever it is asked: worse than any real one."""
    site.add(frames, "/v1/live", "text/event-stream", Access_Control_Allow_Origin="*")


def until(page: Page, expression: str, arg: object = None, timeout_ms: int = 15_000) -> None:
    """Waits until it is true in the page, also while the page is on its way to another one.

    Not `wait_for_function`: that evaluates within the page, which a policy without `unsafe-eval` forbids
    from the second look on, so that it only works where the first one finds it true.
    """
    until_holds(page, lambda: _is_true(page, expression, arg), timeout_ms, expression)


def until_total(page: Page, others: Others, course: str, total: int, timeout_ms: int = 15_000) -> None:
    """Waits until the service itself counts so many."""
    until_holds(page, lambda: others.count(course)["total"] == total, timeout_ms, f"{total} in {course}")


def until_holds(page: Page, holds: Callable[[], bool], timeout_ms: int = 15_000, what: str = "this") -> None:
    """Asks again and again, while the page's routes, events and functions are served."""
    deadline = time.monotonic() + timeout_ms / 1_000
    while not holds():
        assert time.monotonic() < deadline, f"not true within {timeout_ms} ms: {what}"
        page.wait_for_timeout(50)


def _is_true(page: Page, expression: str, arg: object) -> bool:
    try:
        return bool(page.evaluate(expression, arg))
    except Error as error:
        if "context was destroyed" not in error.message:
            raise
        return False


def number(page: Page, selector: str = "live-viewer-badge") -> Locator:
    return page.locator(f"{selector} [part=count]")


def record_numbers(page: Page) -> None:
    """Keeps every number that the first badge of the page ever shows in `window.numbers`."""
    page.add_init_script(
        """
        window.numbers = [];
        addEventListener("presence-change", (event) => {
          const shown = event.target.shadowRoot.querySelector("[part=count]").textContent;
          window.numbers.push(shown);
        }, true);
        """
    )


def numbers(page: Page) -> list[str]:
    found: list[str] = page.evaluate("window.numbers")
    return found

"""What server takes from uvicorn and websockets beyond their public API: listed once, and checked at start.

commands.serve asks for `protocols`: ours when all of it is there, else uvicorn's own, which serve the same
app more slowly and without our deadlines. A test holds the list against the code and what is installed.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

log = logging.getLogger("presence.server")
HTTP, SUPERVISOR = "uvicorn.protocols.http.httptools_impl", "uvicorn.supervisors.multiprocess"
FALLBACK = "auto"  # whichever protocol uvicorn takes by itself


@dataclass(frozen=True, slots=True)
class Needed:
    """A class of another package: methods that we override or call, by their parameters; attributes."""

    module: str
    name: str
    methods: dict[str, str] = field(default_factory=dict)
    attributes: str = ""

    def missing(self) -> Iterator[str]:
        """What is not there, or is called in another way; each as one phrase."""
        try:
            cls = getattr(importlib.import_module(self.module), self.name)
        except (ImportError, AttributeError):
            yield f"{self.module}.{self.name}"
            return
        for method, parameters in self.methods.items():
            found = _parameters(cls, method)
            if found is None:
                yield f"{self.name}.{method}()"
            elif found != parameters:
                yield f"{self.name}.{method}({found}), which was ({parameters})"
        named = _names(cls)
        yield from (f"{self.name}.{name}" for name in self.attributes.split() if name not in named)


NEEDED = (
    Needed(
        HTTP,
        "HttpToolsProtocol",
        {
            "_should_upgrade": "",
            "_start_asgi_task": "cycle app",
            "_unset_keepalive_if_required": "",
            "_unsupported_upgrade_warning": "",
            "connection_lost": "exc",
            "connection_made": "transport",
            "data_received": "data",
            "eof_received": "",
            "handle_websocket_upgrade": "",
            "on_body": "body",
            "on_header": "name value",
            "on_headers_complete": "",
            "on_message_begin": "",
            "on_message_complete": "",
            "on_response_complete": "",
            "pause_writing": "",
            "resume_writing": "",
            "send_400_response": "msg",
            "shutdown": "",
            "timeout_keep_alive_handler": "",
        },
        "app_state client connections cycle flow headers loop parser pipeline scope server_state tasks"
        " timeout_keep_alive timeout_keep_alive_task transport url",
    ),
    Needed(
        HTTP,
        "RequestResponseCycle",
        attributes="body disconnected keep_alive message_event more_body response_complete response_started"
        " transport",
    ),
    Needed(HTTP, "STATUS_LINE"),
    Needed(
        HTTP,
        "FlowControl",
        {"pause_reading": "", "resume_reading": ""},
        "_transport read_paused write_paused",
    ),
    Needed("uvicorn.server", "ServerState", attributes="default_headers total_requests"),
    Needed(
        "uvicorn.protocols.websockets.websockets_sansio_impl",
        "WebSocketsSansIOProtocol",
        {
            "connection_lost": "exc",
            "data_received": "data",
            "handle_connect": "event",
            "handle_parser_exception": "",
            "handle_ping": "",
            "keepalive_timeout": "",
            "on_task_complete": "task",
            "pause_writing": "",
            "resume_writing": "",
            "send": "message",
            "send_receive_event_to_app": "",
            "shutdown": "",
            "start_keepalive": "",
        },
        "app_state close_sent config conn curr_msg_data_type disconnected frames"
        " handshake_complete close_timer handshake_initiated logger loop queue read_paused request response"
        " scope transport writable",
    ),
    Needed(
        "websockets.server",
        "ServerProtocol",
        {
            "data_to_send": "",
            "recv_frame": "frame",
            "reject": "status text",
            "send_close": "code reason",
            "send_text": "data fin",
        },
        "current_size state",
    ),
    Needed(
        "httptools", "HttpRequestParser", {}, "get_http_version get_method should_keep_alive should_upgrade"
    ),
    Needed("httptools", "HttpParserError"),
    Needed("websockets.frames", "CloseCode"),
    Needed("websockets.frames", "Frame"),
    Needed("websockets.protocol", "State"),
    Needed("websockets.http11", "Request"),
    Needed("websockets.http11", "Response", {"serialize": ""}, "body headers reason_phrase status_code"),
)

# Of commands.workers, which has nothing to fall back to; held by the test alone.
NEEDED_BY_WORKERS = (
    Needed(
        SUPERVISOR,
        "Multiprocess",
        {"init_processes": "", "keep_subprocess_alive": "", "restart_all": "", "run": ""},
        "processes",
    ),
    Needed(SUPERVISOR, "Process", {"wait_until_ready": "timeout should_exit"}, "child_conn exitcode process"),
    Needed("uvicorn.config", "STARTUP_FAILURE"),
)


def missing() -> list[str]:
    """What the installed uvicorn and websockets lack of all this; nothing for the versions that we know."""
    return [phrase for needed in NEEDED for phrase in needed.missing()]


def protocols(*, fast_path: bool) -> dict[str, Any]:
    """uvicorn's options `http` and `ws`. Warns, and falls back to its own, when ours cannot work."""
    lacking = missing()
    if not lacking:
        try:
            return _ours(fast_path=fast_path)
        except (ImportError, AttributeError) as error:
            lacking = [str(error)]
    log.warning(
        "this uvicorn or websockets lacks %s: serving by uvicorn's own protocols, without the fast path and"
        " without deadlines for slow clients; install a version that pyproject.toml allows",
        ", ".join(lacking),
    )
    return {"http": FALLBACK, "ws": FALLBACK}


def _ours(*, fast_path: bool) -> dict[str, Any]:
    """Imported here: the classes that they are made from may be gone."""
    from .fast_path import FastPathProtocol
    from .http import HttpProtocol
    from .websocket import WebSocketProtocol

    return {"http": FastPathProtocol if fast_path else HttpProtocol, "ws": WebSocketProtocol}


def _parameters(cls: Any, method: str) -> str | None:
    function = getattr(cls, method, None)
    return " ".join(list(inspect.signature(function).parameters)[1:]) if callable(function) else None


def _names(cls: Any) -> set[str]:
    """Every attribute that a class has, or that its methods name: most are made in its methods."""
    found = set(dir(cls))
    for kind in getattr(cls, "__mro__", ()):
        found |= getattr(kind, "__annotations__", {}).keys()
        for member in vars(kind).values():
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if isinstance(code := getattr(function, "__code__", None), CodeType):
                found |= _names_in(code)
    return found


def _names_in(code: CodeType) -> set[str]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*map(_names_in, inner))

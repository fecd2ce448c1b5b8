"""What server relies on in uvicorn and websockets: all listed, all there, and a way out if not."""

from __future__ import annotations

import ast
import logging
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import httpx2
import pytest

from presence_svc.server import compatibility
from presence_svc.server.compatibility import HTTP, NEEDED, NEEDED_BY_WORKERS, Needed, missing, protocols
from tests.rig import ROOT, Service
from tests.web.socket_client import SocketClient

# Which of our modules hold the subclasses of which class.
SUBCLASSES = {
    "HttpToolsProtocol": ("timeouts", "upgrade", "http", "fast_path"),
    "WebSocketsSansIOProtocol": ("websocket",),
    "ServerProtocol": ("handshake",),
    "FlowControl": ("fair_reads",),
}
# Stands in for a newer uvicorn: the same code under other names of its own, loaded before anything else.
NEWER = """
    import importlib, importlib.util, sys
    name, old, new = {module!r}, {old!r}, {new!r}
    spec = importlib.util.find_spec(name)
    text = spec.loader.get_source(name)
    assert old in text
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(text.replace(old, new), spec.origin, "exec"), module.__dict__)
    package, _, last = name.rpartition(".")
    setattr(importlib.import_module(package), last, module)
"""


def used_of(base: Needed) -> Iterator[str]:
    """Every name of this class, as it is installed, that our subclasses override, call or read."""
    cls = getattr(import_module(base.module), base.name)
    theirs = compatibility._names(cls)
    for module in SUBCLASSES[base.name]:
        for node in ast.walk(ast.parse((ROOT / f"presence_svc/server/{module}.py").read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name, is_theirs = node.name, hasattr(cls, node.name)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()"):
                name, is_theirs = node.attr, node.attr in theirs
            else:
                continue
            if is_theirs and not name.startswith("__"):
                yield name


def test_the_installed_versions_have_all_of_it() -> None:
    """An upgrade that changes what we override ends here, by name, and not in a connection that hangs."""
    lacking = [phrase for needed in (*NEEDED, *NEEDED_BY_WORKERS) for phrase in needed.missing()]

    assert not lacking, (
        f"this uvicorn or websockets has changed what presence_svc/server relies on: {', '.join(lacking)}."
        " Adapt server/ and server/compatibility.py, or bound the version in pyproject.toml"
    )


@pytest.mark.parametrize("name", SUBCLASSES)
def test_the_list_is_complete(name: str) -> None:
    """Whoever overrides or reads something more lists it in server/compatibility.py."""
    (needed,) = (one for one in NEEDED if one.name == name)

    unlisted = set(used_of(needed)) - needed.methods.keys() - set(needed.attributes.split())

    assert unlisted == set(), f"add these of {name} to server/compatibility.py: {sorted(unlisted)}"


class Base:
    """Stands in for a class of another package."""

    def __init__(self) -> None:
        self.made = 1

    def called(self, data: bytes) -> None:
        self.deep = lambda: self.inner  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        (Needed(__name__, "Base", {"called": "data"}, "made inner"), []),
        (Needed(__name__, "Base", {"called": "data more"}), ["Base.called(data), which was (data more)"]),
        (Needed(__name__, "Base", {"gone": ""}, "made lost"), ["Base.gone()", "Base.lost"]),
        (Needed(__name__, "Gone", {"called": "data"}), [f"{__name__}.Gone"]),
        (Needed("no_such_package.at_all", "Base"), ["no_such_package.at_all.Base"]),
    ],
    ids=["all there", "called in another way", "names gone", "class gone", "module gone"],
)
def test_what_is_missing_is_named(needed: Needed, told: list[str]) -> None:
    """A method, its parameters, an attribute, a class, a module."""
    assert list(needed.missing()) == told


def test_ours_are_chosen_while_all_is_there() -> None:
    """The fast path is a setting; both have our deadlines."""
    fast, plain = protocols(fast_path=True), protocols(fast_path=False)

    assert (fast["http"].__name__, plain["http"].__name__) == ("FastPathProtocol", "HttpProtocol")
    assert fast["ws"].__name__ == plain["ws"].__name__ == "WebSocketProtocol"


def test_a_module_that_is_gone_is_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the list has overlooked something: a failed import falls back, and says what has failed."""
    monkeypatch.setitem(sys.modules, "presence_svc.server.fast_path", None)

    with caplog.at_level(logging.WARNING):
        chosen = protocols(fast_path=True)

    assert missing() == []
    assert chosen == {"http": "auto", "ws": "auto"}
    assert "fast_path" in caplog.text


@pytest.fixture(params=["http", "sockets"])
def newer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """The service on a uvicorn in which something that we read has another name."""
    renamed = {
        "http": (HTTP, "timeout_keep_alive_task", "keep_alive_timer"),
        "sockets": ("uvicorn.protocols.websockets.websockets_sansio_impl", "close_sent", "closing_sent"),
    }
    module, old, new = renamed[request.param]
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(NEWER).format(module=module, old=old, new=new))
    with Service({"PYTHONPATH": f"{tmp_path}:{ROOT}"}) as made:
        assert old in made.logs()
        yield made


async def test_a_newer_uvicorn_is_served_by_its_own_protocols(newer: Service) -> None:
    """Heartbeats, streams and sockets, with a warning that says what is missing, and a clean end."""
    async with httpx2.AsyncClient(base_url=newer.url, timeout=20) as http:
        path = "/v1/courses/c1"
        replies = [await http.post(f"{path}/heartbeat", json={"viewer_id": "ada"}) for _ in range(2)]
        wrong = await http.post(f"{path}/heartbeat", json={"viewer_id": "a b"})
        async with SocketClient(newer, "c1", viewer_id="bob") as bob:
            assert bob.joined["type"] == "joined"
            async with http.stream("GET", f"{path}/live") as stream:
                lines = stream.aiter_lines()
                told = [await anext(lines) for _ in range(3)]
            count = await http.get(f"{path}/count")

    assert [reply.status_code for reply in (*replies, wrong, count)] == [200, 200, 422, 200]
    assert wrong.headers["content-type"] == "application/problem+json"
    assert told[0] == "event: count"
    assert '"total":2' in told[2]
    assert count.json()["total"] == 2
    assert "serving by uvicorn's own protocols" in newer.logs()
    assert newer.terminate() == 0
    assert "Traceback" not in newer.logs()

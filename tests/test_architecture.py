"""The house rules that a newcomer relies on: who may import whom, how long a page is, what opens it."""

from __future__ import annotations

import ast
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.rig import ROOT

PACKAGE = ROOT / "presence_svc"
FLOORS = [
    {"errors", "", "text"},
    {"model"},
    {"settings", "metrics", "logs", "tracing"},
    {"store"},
    {"live"},
    {"auth"},
    {"web"},
    {"server"},
    {"replica"},
    {"app"},
    {"client"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ALLOWED = {
    "redis": {"store", "client"},
    "starlette": {"web", "app"},
    "uvicorn": {"server", "commands"},
    "websockets": {"server"},
    "opentelemetry": {"tracing"},
}
# Suites have a room of their own; each says in its files what it is about.
SUITES = {"contract", "faults", "browser", "benchmarks", "deploy", "upgrade"}
# Tests of what no single module does, and why each stands apart.
ACROSS_MODULES = {
    "test_architecture": "the rooms themselves",
    "test_audit": ".ci/audit",
    "test_docs": "the pages",
    "test_packaging": "what is shipped: pins, wheel, image, CI",
    "test_sbom": ".ci/sbom, and the same in the image",
    "test_rules": "rule ids in code, tests and pages",
    "auth/test_hostile_token": "tokens, claims and both paths of a heartbeat, by generated tokens",
    "server/test_fast_path_clock": "the fast path and its timeouts, by a clock that the test turns",
    "client/test_examples": "the examples of docs/clients.md",
    "client/test_imports": "what the client loads, and the distribution that has it alone",
    "store/lua/test_read": "the scripts that only read: count, viewers and since",
    "store/history/test_closing": "minutes as sweep.lua closes them, and how they are read",
    "store/history/test_crowd": "history of a simulated crowd, against a log outside",
    "store/history/test_machine": "history and people against brute force, by generated histories",
    "store/history/test_work": "how much one call does when minutes are closed",
    "store/test_machine": "all of store against a model, by generated histories",
    "store/test_memory": "all of store on a Redis that is full",
    "web/api/test_types": "the TypeScript types of the npm package, against OpenAPI",
    "web/api/test_schemathesis": "every route, by requests made from the API's own description",
    "web/test_fuzz": "every route, by hostile bytes",
    "web/test_headers": "what every answer has, whichever route gives it",
    "web/test_identity": "whose a heartbeat is, from the token or body to the reply",
    "web/test_take_over": "signing in, over both paths of a heartbeat",
}
BADGE = PACKAGE / "badge/src"
# The badge's folders from the ground up; on top what its npm package exports.
BADGE_FLOORS = ["shared", "service", "stream", "session", "element", "."]
SCRIPTS = [BADGE, PACKAGE / "web/pages/static/pages"]
SCRIPT_IMPORT = re.compile(r'(?:\bfrom |\bimport |\bimport\()"(\.[^"]+\.js)"')
SCRIPT_COMMENT = re.compile(r"/\*.*?\*/", re.S)
MODULES_IN_A_ROOM = 16
LONGEST = 200
LONGEST_DOCSTRING = 5
MAY_ARGUE_FOR_A_PAGE = {"presence_svc.store.keys"}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


PATHS = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def _imports(module: str) -> frozenset[str]:
    """Every module that this one imports, also inside functions, as absolute names."""
    return frozenset(_found(module))


def _found(module: str) -> Iterator[str]:
    path = PATHS[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, *([node.module] if node.module else [])])
            base = base if node.level else str(node.module)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in PATHS else base


def test_the_walk_sees_imports_of_every_kind() -> None:
    """The tests below would prove nothing if the walk missed relative or inner imports."""
    assert "presence_svc.store.keys" in _imports("presence_svc.store.presence")
    assert "presence_svc.commands.serve" in _imports("presence_svc.cli")
    assert "redis" in _imports("presence_svc.store.redis.embedded")


@pytest.mark.parametrize("module", PATHS)
def test_imports_run_down_only(module: str) -> None:
    """A module imports its own room and the floors below it, as FLOORS lists them from the ground up."""
    floor = FLOOR[_room(module)]

    upward = [
        name
        for name in _imports(module)
        if name in PATHS and _room(name) != _room(module) and FLOOR[_room(name)] >= floor
    ]

    assert upward == []


@pytest.mark.parametrize("module", PATHS)
def test_redis_and_starlette_stay_in_their_rooms(module: str) -> None:
    """What a room must not know it does not import: Redis outside store, HTTP outside web."""
    roots = {name.split(".")[0] for name in _imports(module)}

    foreign = {root for root in roots & ALLOWED.keys() if _room(module) not in ALLOWED[root]}

    assert foreign == set()


def test_no_module_imports_itself_in_a_circle() -> None:
    """Also within a room: an order to read the modules in exists."""
    graph = {module: _imports(module) & PATHS.keys() - {module} for module in PATHS}

    order = list(TopologicalSorter(graph).static_order())  # raises CycleError

    assert set(order) == set(PATHS)


@pytest.mark.parametrize("module", PATHS)
def test_a_module_is_a_page_with_a_heading(module: str) -> None:
    """Under 200 lines, opened by a docstring of one to five lines."""
    text = PATHS[module].read_text()

    docstring = ast.get_docstring(ast.parse(text))

    assert len(text.splitlines()) < LONGEST
    assert docstring
    assert len(docstring.splitlines()) <= LONGEST_DOCSTRING or module in MAY_ARGUE_FOR_A_PAGE


def test_a_room_is_seen_at_a_glance() -> None:
    """No folder has more than 16 modules, `__init__` among them."""
    rooms = Counter(path.parent for path in PATHS.values())

    assert {room: n for room, n in rooms.items() if n > MODULES_IN_A_ROOM} == {}


def _script_imports(text: str, folder: str) -> set[str]:
    """Every script of the badge that this text names, as a path below badge/src."""
    found = {os.path.normpath(f"{folder}/{path}") for path in SCRIPT_IMPORT.findall(text)}
    return {path for path in found if path[0] != "." and (BADGE / path).is_file()}


BADGE_SCRIPTS = {path.relative_to(BADGE).as_posix(): path.read_text() for path in BADGE.rglob("*.js")}
BADGE_IMPORTS = {name: _script_imports(text, str(Path(name).parent)) for name, text in BADGE_SCRIPTS.items()}


def test_the_walk_sees_imports_of_scripts() -> None:
    """The tests below would prove nothing if it missed imports, re-exports, types or those at run time."""
    assert "session/session.js" in BADGE_IMPORTS["element/badge.js"]
    assert "shared/error.js" in BADGE_IMPORTS["headless.js"]
    assert "shared/types.js" in BADGE_IMPORTS["session/roster.js"]
    assert "element/translations.js" in BADGE_IMPORTS["element/language.js"]


def test_a_folder_of_scripts_is_seen_at_a_glance() -> None:
    """No folder of the badge or of the pages has more than 16 modules."""
    folders = Counter(path.parent for top in SCRIPTS for path in top.rglob("*.js"))

    assert len(folders) > len(SCRIPTS)
    assert {folder: n for folder, n in folders.items() if n > MODULES_IN_A_ROOM} == {}


@pytest.mark.parametrize("name", BADGE_SCRIPTS)
def test_the_badge_imports_down_only(name: str) -> None:
    """A script imports its own folder and those below it, as BADGE_FLOORS lists them; in types, too."""
    folder = os.path.dirname(name) or "."

    below = BADGE_FLOORS[: BADGE_FLOORS.index(folder) + 1]

    assert {path for path in BADGE_IMPORTS[name] if (os.path.dirname(path) or ".") not in below} == set()


def test_no_script_of_the_badge_imports_itself_in_a_circle() -> None:
    """Also within a folder, at run time: a type may name the module that uses it."""
    graph = {
        name: _script_imports(SCRIPT_COMMENT.sub("", text), str(Path(name).parent))
        for name, text in BADGE_SCRIPTS.items()
    }

    order = list(TopologicalSorter(graph).static_order())  # raises CycleError

    assert set(order) == set(BADGE_SCRIPTS)


def _tests() -> set[str]:
    """Every test file outside the suites, as a path under tests/ without its ending."""
    files = (path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py"))
    return {path.with_suffix("").as_posix() for path in files if path.parts[0] not in SUITES}


@pytest.mark.parametrize("test", sorted(_tests()))
def test_a_test_is_found_where_its_module_is(test: str) -> None:
    """tests/<room>/test_<noun> tests the module, script or room <noun> of that room, or says why not."""
    module = PACKAGE / test.replace("test_", "")

    is_there = any(path.exists() for path in (module.with_suffix(".py"), module.with_suffix(".lua"), module))

    assert is_there != (test in ACROSS_MODULES), (
        "move or rename it, or say in ACROSS_MODULES why it stands apart"
    )


def test_no_reason_outlives_its_test() -> None:
    """ACROSS_MODULES names tests that exist."""
    assert ACROSS_MODULES.keys() - _tests() == set()

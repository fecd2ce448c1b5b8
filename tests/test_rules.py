"""Rule ids: whoever meets one in code, tests or pages finds it under a heading of ARCHITECTURE.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.rig import ROOT
from tests.test_architecture import FLOORS

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
HEADINGS = dict(re.findall(r"^#{2,4} ([A-Z]\d{1,2}): (.+)$", ARCHITECTURE, re.M))
# Letters that begin rules; elsewhere such words are something else (M4 is a chip, W10 is base64).
CITED = re.compile(
    rf"\b[{''.join(sorted({rule[0] for rule in HEADINGS}))}]\d{{1,2}}\b(?!:\d)"
)  # but not a time, T12:00
SECTION = re.compile(r"\b(?:DESIGN|FAULTS)(?:,? section)?,? \d")
DOCUMENT = re.compile(r"(?<![\w/])[A-Z]{3,}\.md\b")
NOT_OURS = {"node_modules", "vendor", ".venv", "dist", "build"}
GENERATED = {"live-viewer-badge.js", "package-lock.json"}
OURS = {".py", ".lua", ".js", ".mjs", ".html", ".md", ".toml", ".yml", ".yaml", ""}
PATH = re.compile(r"(?<![\w./-])((?:server|web|auth|live|store|settings|commands)/[\w/]+\.(?:py|lua))")
ROW = re.compile(r"^\| (`presence_svc/[^|]+) \|", re.M)


def _files() -> Iterator[Path]:
    for top in ("presence_svc", "tests", "docs", ".ci"):
        yield from (path for path in sorted((ROOT / top).rglob("*")) if path.is_file())
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file() and path.name != "constraints.txt")


TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(errors="replace")
    for path in _files()
    if path.suffix in OURS and path.name not in GENERATED and NOT_OURS.isdisjoint(path.parts)
}


def test_the_walk_finds_citations() -> None:
    """The tests below would prove nothing if files or headings were missed."""
    assert {"S1", "S15", "R1", "T1", "B1", "L3", "H1", "I6"} <= HEADINGS.keys()
    assert "S8" in CITED.findall(TEXTS["presence_svc/store/lua/shared/course.lua"])
    assert "S8" in CITED.findall(TEXTS["presence_svc/live/sweeper.py"])
    assert "tests/test_rules.py" in TEXTS


@pytest.mark.parametrize("name", TEXTS)
def test_every_id_that_is_cited_has_a_heading(name: str) -> None:
    """Each id leads to a heading, and no citation leads to a document that is not in this repository."""
    text = TEXTS[name]

    assert set(CITED.findall(text)) - HEADINGS.keys() == set()
    assert [document for document in DOCUMENT.findall(text) if not (ROOT / document).exists()] == []
    assert SECTION.findall(text) == [], "cite a rule's id instead"


def test_rules_are_explained_once() -> None:
    """An id has one heading, and ids of a kind leave no gap."""
    ids = re.findall(r"^#{2,4} ([A-Z]\d{1,2}): ", ARCHITECTURE, re.M)

    assert len(ids) == len(set(ids))
    for letter in {rule[0] for rule in ids}:
        numbers = sorted(int(rule[1:]) for rule in ids if rule[0] == letter)
        assert numbers == list(range(1, len(numbers) + 1)), letter


@pytest.mark.parametrize("number", range(1, 13))
def test_every_rule_is_proved_by_a_test_that_names_it(number: int) -> None:
    """Whoever breaks a rule is told which: S1 to S12 are each named by tests in at least one file."""
    naming = [
        name
        for name, text in TEXTS.items()
        if name.startswith("tests/") and name.endswith(".py") and name != "tests/test_rules.py"
        for first, last in re.findall(r"\bS(\d{1,2})(?:-S(\d{1,2}))?\b", text)
        if int(first) <= number <= int(last or first)
    ]

    assert naming


def test_the_pictures_name_modules_that_exist() -> None:
    """Paths inside the text pictures are paths of the package."""
    named = PATH.findall(ARCHITECTURE)

    assert len(named) >= 15
    assert [path for path in named if not (ROOT / "presence_svc" / path).is_file()] == []


def test_the_table_of_rooms_is_the_order_of_imports() -> None:
    """ARCHITECTURE.md has the rooms in the order in which tests/test_architecture.py lets them import."""
    floor = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
    rows = [re.findall(r"`presence_svc/(\w+)(?:\.py)?`", row) for row in ROW.findall(ARCHITECTURE)]
    rows = [row for row in rows if row and set(row) <= floor.keys()]
    highest = [max(floor[room] for room in row) for row in rows]

    named = set(chain.from_iterable(rows))

    assert floor.keys() - named == {"", "__main__"}
    assert highest == sorted(highest, reverse=True)

"""What the pages say is so: links and paths resolve, commands and examples run, tables follow from the code.

`python -m tests.test_docs` writes the settings table anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined
from redis import Redis

from presence_svc.settings import ENV_PREFIX, Settings, load
from tests.rig import ROOT, Service, need

README = ROOT / "README.md"
SETTINGS = ROOT / "docs" / "settings.md"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for folder in ("*.md", "docs/**/*.md", "deploy/**/*.md", "tests/**/*.md")
    for path in sorted(ROOT.glob(folder))
    if "node_modules" not in path.parts
}
ADDRESS = "http://127.0.0.1:8000"
WORDS_OF_THE_README = 1_500
LONGEST_LINE = 120
FIRST_SCREEN = 30
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
FILE = re.compile(r"`((?:presence_svc|tests|docs|deploy|\.ci)/[\w./-]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Pages whose examples have a test of their own, with the frameworks that they are for.
TRIED = {"docs/clients.md"}
ROUTE = re.compile(r"`(GET|POST|DELETE) (/[^`\s]+)`")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(page, text) of every code block of a language."""
    for page, text in PAGES.items():
        yield from ((page, found[2]) for found in FENCE.finditer(text) if found[1] == language)


def prose(text: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """What its headings are called in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def curls(page: str) -> list[str]:
    return [
        line for at, text in blocks("sh") if at == page for line in text.splitlines() if line[:5] == "curl "
    ]


PAGES_WITH_CURLS = [page for page in PAGES if curls(page)]
EXPORTS = [
    pytest.param(line, id=f"{page}: {line[:40]}")
    for page, text in blocks("sh")
    for line in text.splitlines()
    if line.startswith("export PRESENCE_")
]


def default(value: Any) -> str:
    """A setting's default, as the table shows it."""
    if value is None or value is PydanticUndefined or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def table() -> str:
    """The settings table as it follows from the code."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    fields = Settings.model_fields
    own = [name for name in fields if name in Settings.__annotations__]
    for name in sorted(fields, key=lambda name: name not in own):
        field = fields[name]
        shown = f"`{default(field.default)}`" if default(field.default) else ""
        rows.append(f"| `{ENV_PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_the_readme_is_for_newcomers() -> None:
    """It is short, opens with how to run the service and its tests, and links whatever else is written."""
    text = PAGES["README.md"]

    assert len(text.split()) < WORDS_OF_THE_README
    first_screen = "\n".join(text.splitlines()[:FIRST_SCREEN])
    assert first_screen.count("pip install -c constraints.txt") == 2
    linked = set(LINK.findall(text))
    pages = {page for page in PAGES if page != "README.md" and not page.startswith("tests/")}
    assert pages - linked == set(), "add a line to the README's list of pages"


def test_every_setting_is_in_the_table() -> None:
    """The table of settings is the one that follows from the code: `python -m tests.test_docs`."""
    assert table() in SETTINGS.read_text()


def test_no_page_names_a_setting_that_is_none() -> None:
    """A renamed setting is renamed on the pages too. What has been is told by the changelog alone."""
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields} | {"PRESENCE_API_KEY"}
    pages = [text for page, text in PAGES.items() if page != "CHANGELOG.md"]

    named = {name for text in pages for name in re.findall(r"\bPRESENCE_[A-Z_]*[A-Z]\b", text)}

    assert named - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_points_to_exists(page: str) -> None:
    """Every link leads to a file, and to a heading of it; every path of ours that is named is there."""
    here = (ROOT / page).parent
    for link in LINK.findall(prose(PAGES[page])):
        path, _, heading = link.partition("#")
        if "://" in path:
            continue
        target = (here / path if path else ROOT / page).resolve()
        assert target.exists(), link
        assert not heading or heading in anchors(target.read_text()), link
    for path in FILE.findall(PAGES[page]):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_wrapped(page: str) -> None:
    """Prose is read in any editor; only tables and code may be wider."""
    wide = [line for line in prose(PAGES[page]).splitlines() if len(line) > LONGEST_LINE and line[0] != "|"]

    assert wide == []


@pytest.mark.parametrize("page", PAGES_WITH_CURLS)
def test_curl_lines_work_as_they_stand(
    page: str, spawn_service: Callable[..., Service], redis_url: str
) -> None:
    """Each curl line of a page answers without an error, in the order of the page."""
    need("curl")
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})

    for line in curls(page):
        words = shlex.split(line.replace(ADDRESS, service.url))
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode in (0, 28), line  # 28: a stream that -m has ended
        assert '"status":4' not in done.stdout, (line, done.stdout)
        assert done.stdout or "leave" in line or "DELETE" in line, line


def test_there_are_curl_lines() -> None:
    """The test above would prove nothing if it found none."""
    assert len(curls("README.md")) >= 5
    assert len(curls("docs/http.md")) >= 8


def test_routes_are_those_of_the_service(spawn_service: Callable[..., Service], redis_url: str) -> None:
    """Every route that a page names is one that the service describes, and docs/http.md has them all."""
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    with urllib.request.urlopen(f"{service.url}/openapi.json", timeout=10) as reply:  # noqa: S310
        paths = json.load(reply)["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}

    for page, text in PAGES.items():
        for method, path in ROUTE.findall(text):
            is_described = (method, path.partition("?")[0]) in described
            assert is_described or "..." in path or service.get_status(path) == 200, (page, method, path)
    written = {route for page, text in PAGES.items() if page[:5] == "docs/" for route in ROUTE.findall(text)}
    assert described - written == set()


def test_keys_are_those_in_redis(spawn_service: Callable[..., Service], redis_url: str) -> None:
    """S12: after the pages' own commands, every key in Redis is one that docs/data.md describes."""
    need("curl")
    service = spawn_service({"PRESENCE_REDIS_URL": redis_url})
    for line in curls("docs/http.md")[:5]:
        words = shlex.split(line.replace(ADDRESS, service.url))
        subprocess.run(words, capture_output=True, timeout=20, check=True)
    named = re.findall(r"`(presence:[^`]*)`", PAGES["docs/data.md"])
    known = [re.sub(r"\b[A-Z]+\b", ".+", re.escape(name)) for name in named]

    with Redis.from_url(redis_url) as client:
        found = [key.decode() for key in client.keys("presence:*")]

    assert len(found) >= 3
    assert [key for key in found if not any(re.fullmatch(pattern, key) for pattern in known)] == []


@pytest.mark.parametrize("line", EXPORTS)
def test_settings_that_are_shown_are_taken(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that a page tells one to set is one that the service starts with."""
    secret = "0123456789abcdef" * 4
    for pair in shlex.split(re.sub(r"\$\([^)]*\)", secret, line))[1:]:
        name, _, value = pair.partition("=")
        monkeypatch.setenv(name, value)

    assert load()


def test_the_channel_example_is_a_message() -> None:
    """S8: the example has the fields of the contract, in its order."""
    ((_, example),) = [found for found in blocks("json") if found[0] == "docs/channel.md"]

    fields = "type course_id total named anonymous chapters version as_of"
    assert list(json.loads(example)) == fields.split()


def shell_of_ours() -> Iterator[tuple[str, str]]:
    """(page, block) with commands of ours that end. Others have tests of their own, or do not end."""
    apart = ("pip ", "npm ", "presence-svc demo", "redis+cluster:", "presence-svc watch")
    for page, text in blocks("sh"):
        if "presence-svc " in text and not any(words in text for words in apart):
            yield page, text


def test_there_are_shell_lines() -> None:
    """The test below would prove nothing if it found none."""
    assert [page for page, _ in shell_of_ours()] == ["README.md", "docs/identity.md"]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "text"), list(shell_of_ours()))
def test_shell_lines_work_as_they_stand(page: str, text: str, redis_url: str) -> None:
    """A block runs in a shell, word for word but for Redis's address; `serve` is ended after a while."""
    need("openssl")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    env = kept | {"PATH": path, "PRESENCE_REDIS_URL": redis_url, "PRESENCE_PORT": "0"}
    lines = text.replace("redis://localhost:6379", redis_url)
    lines = re.sub(r"^presence-svc serve$", "timeout 5 presence-svc serve", lines, flags=re.M)

    done = subprocess.run(["/bin/sh", "-c", lines], env=env, capture_output=True, text=True, timeout=60)

    stays = "timeout 5 " in lines
    assert done.returncode == (124 if stays else 0), done.stdout + done.stderr
    assert "wrong" not in done.stdout
    assert "Traceback" not in done.stderr
    assert ("listens on" in done.stderr) == stays
    if "--token" in text:
        assert "viewer ada" in done.stdout


class Printed(io.StringIO):
    """Standard output that tells when something has come."""

    def __init__(self) -> None:
        super().__init__()
        self.has_some = asyncio.Event()

    def write(self, text: str) -> int:
        self.has_some.set()
        return super().write(text)


@pytest.mark.parametrize(("page", "text"), [found for found in blocks("python") if found[0] not in TRIED])
async def test_python_examples_run(page: str, text: str, redis_url: str) -> None:
    """An example runs as it stands: to its end, or, when it has none, until it has printed something."""
    code = compile(text.replace("redis://localhost", redis_url), page, "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def run() -> None:
        made = eval(code, {"__name__": page})  # noqa: S307 - our own page
        if inspect.iscoroutine(made):
            await made

    with contextlib.redirect_stdout(Printed()) as printed:
        example, output = asyncio.ensure_future(run()), asyncio.ensure_future(printed.has_some.wait())
        async with asyncio.timeout(20):
            await asyncio.wait([example, output], return_when=asyncio.FIRST_COMPLETED)
        for task in (example, output):
            task.cancel()
        failures = await asyncio.gather(example, output, return_exceptions=True)

    assert [failure for failure in failures if isinstance(failure, Exception)] == []


def write_settings(page: Path = SETTINGS) -> None:
    """Puts the table where the last one was."""
    written = re.sub(
        r"\| variable \| default.*?\n\n", lambda _: table() + "\n\n", page.read_text(), flags=re.S
    )
    page.write_text(written)


if __name__ == "__main__":
    write_settings()

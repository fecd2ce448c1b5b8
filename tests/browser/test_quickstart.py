"""docs/quickstart.md as it stands: each command and each line of code, in a copy of the clone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest
from playwright.sync_api import expect

from tests import rig
from tests.browser.conftest import NewContext
from tests.browser.stage import number

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = (rig.ROOT / "docs/quickstart.md").read_text()
README = (rig.ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)
SHELL = [text for language, text in FENCE.findall(PAGE) if language == "sh"]
CODE = [text for language, text in FENCE.findall(PAGE) if language == "jsx"]
SERVICE, APP = "http://127.0.0.1:8000", "http://localhost:5173/"
SAID = re.compile(r"`(http://[^`]+)`")


class Stranger:
    """Copies blocks into terminals, on ports that nobody has yet, and looks at the clock."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.clone = folder / "presence-svc"
        self.service, self.app = (
            f"http://127.0.0.1:{rig.free_port()}",
            f"http://localhost:{rig.free_port()}/",
        )
        self._stack = stack
        self._began = time.monotonic()
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PRESENCE_", "PYTHON"))
        }
        self._env = kept | {"PRESENCE_PORT": self.service.rpartition(":")[2], "PYTHONUNBUFFERED": "1"}

    def adapted(self, text: str) -> str:
        """The page's text, for the ports of this test."""
        dev = f"npm run dev -- --strictPort --port {self.app.rpartition(':')[2].strip('/')}"
        return text.replace(SERVICE, self.service).replace(APP, self.app).replace("npm run dev", dev)

    def run(self, block: str, where: Path) -> None:
        """A block that ends."""
        done = subprocess.run(
            ["/bin/sh", "-ec", block], cwd=where, env=self._env, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def leave_running(self, block: str, where: Path) -> IO[str]:
        """A block whose last command stays in the foreground; what it prints."""
        process = subprocess.Popen(
            ["/bin/sh", "-ec", block],
            cwd=where,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._stack.enter_context(process)  # waits for its end
        self._stack.callback(os.killpg, process.pid, signal.SIGTERM)
        assert process.stdout is not None
        return process.stdout

    def tell(self, step: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s  {step}")


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    rig.need("npm")
    with ExitStack() as stack:
        made = Stranger(tmp_path, stack)
        rig.copy_clone(made.clone)
        yield made


def test_the_page_begins_as_the_readme_does() -> None:
    """One first command, told twice."""
    first, *_ = [text for language, text in FENCE.findall(README) if language == "sh"]

    assert SHELL[0] == first
    assert len(SHELL) == 4
    assert CODE[0].splitlines()[0] == "// src/App.jsx"


def test_from_nothing_to_two_people(stranger: Stranger, new_context: NewContext, tmp_path: Path) -> None:
    """A service, a React app from Vite's own template, the badge's package: 1, then 2, then 1 again."""
    _, app, dev, watch = map(stranger.adapted, SHELL)
    folder = tmp_path / re.findall(r"^cd (\S+)", app, re.M)[0]
    stranger.leave_running(SHELL[0], stranger.clone)
    rig.wait_until(lambda: rig.answers(int(stranger.service.rpartition(":")[2])), within_s=400)
    stranger.tell("the service runs")
    stranger.run(app, tmp_path)
    stranger.tell("the app has the package")
    (folder / "src/App.jsx").write_text(stranger.adapted(CODE[0]))
    stranger.leave_running(dev, folder)
    rig.wait_until(lambda: rig.answers(int(stranger.app.rpartition(":")[2].strip("/"))), within_s=60)

    context = new_context(viewport={"width": 700, "height": 420})
    ada = context.new_page()
    ada.goto(stranger.app)
    expect(number(ada)).to_have_text("1", timeout=30_000)
    stranger.tell("the badge is live")
    bob = context.new_page()
    bob.goto(f"{stranger.app}?name=Bob")
    expect(number(bob)).to_have_text("2", timeout=30_000)
    expect(number(ada)).to_have_text("2")
    stranger.tell("it counts two")
    bob.locator("live-viewer-badge").hover()
    expect(bob.locator("[part=tooltip]")).to_contain_text("Ada")
    bob.wait_for_timeout(500)  # the tooltip fades in
    bob.screenshot(path=Path(os.environ.get("SCREENSHOTS", tmp_path)) / "quickstart.png")

    said = stranger.leave_running(watch, stranger.clone)
    assert "my-course: 2 (2 named" in said.readline()
    dashboard = context.new_page()
    dashboard.goto(f"{stranger.service}/dashboard")
    expect(dashboard.get_by_text("my-course").first).to_be_visible()
    stranger.tell("in a terminal and on the dashboard too")
    bob.close(run_before_unload=True)
    expect(number(ada)).to_have_text("1", timeout=30_000)
    assert "my-course: 1 (1 named" in said.readline()


def test_its_addresses_are_there(service: rig.Service) -> None:
    """Every page of the service that it names answers."""
    paths = [url.removeprefix(SERVICE) for url in SAID.findall(PAGE) if url.startswith(SERVICE)]

    assert {"/demo", "/dashboard", "/docs"} <= set(paths)
    assert {service.get_status(path) for path in paths} == {200}

"""A Chromium whose tabs are really hidden, frozen and thrown away: Playwright keeps all of its pages visible.

Used by test_lifecycle. Speaks Chromium's DevTools protocol, and presses the buttons of chrome://discards.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests import rig
from tests.browser.stage import CHROMIUM_FLAGS

NUMBER = "document.querySelector('live-viewer-badge').shadowRoot.querySelector('[part=count]').textContent"
STATE = "document.querySelector('live-viewer-badge').dataset.state"
# Elements of a page of Chromium's own are within shadow trees.
ALL = (
    "const all = (at) => [...at.querySelectorAll('*')]"
    ".flatMap((one) => [one, ...(one.shadowRoot ? all(one.shadowRoot) : [])]);"
)


class Tabs:
    """One browser: the tab of a page that is under test, and one of Chromium's own in front of it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._calls = 0
        self._tools = ""

    def open(self, url: str) -> str:
        """Opens a tab in front of the others; its target."""
        return str(self._call("Target.createTarget", url=url)["targetId"])

    def show(self, url: str) -> None:
        """Brings the tab with this page to the front; one that was thrown away is loaded again."""
        self._call("Target.activateTarget", targetId=self._target(url))

    def evaluate(self, url: str, expression: str) -> Any:
        """What it is in the page with this address."""
        return self._evaluate(self._target(url), expression)

    def until(self, url: str, expression: str) -> None:
        """Waits until it is true in that page, also while it is loaded."""
        rig.wait_until(lambda: self.evaluate(url, expression) is True)

    def hide(self) -> None:
        """Puts Chromium's own page of tabs in front."""
        self._tools = self.open("chrome://chrome-urls/")
        find = "const b = all(document).find((one) => /BUTTON/.test(one.tagName));"
        self._until(f"{find} b?.click(); return Boolean(b);")
        time.sleep(0.5)  # its pages are allowed from then on
        self._evaluate(self._tools, "void (location.href = 'chrome://discards/')")

    def press(self, button: str, url: str, then: str) -> None:
        """Presses Freeze or Urgent Discard for the page, and waits until the tab's state is that."""
        row = f"const row = all(document).find((o) => o.matches('tr') && o.textContent.includes('{url}'));"
        buttons = "const buttons = [...(row?.querySelectorAll('.actions-cell div') ?? [])];"
        press = f"const b = buttons.find((one) => one.textContent.trim() === '[{button}]'); b?.click();"
        self._until(f"{row} {buttons} {press} return Boolean(b);")
        self._until(f"{row} return /\\s{then}\\s/.test(row?.textContent ?? '');")

    def _until(self, body: str) -> None:
        expression = f"(() => {{ {ALL} {body} }})()"
        rig.wait_until(lambda: self._evaluate(self._tools, expression) is True)

    def _target(self, url: str) -> str:
        found = self._call("Target.getTargets")["targetInfos"]
        return next(str(one["targetId"]) for one in found if one["url"] == url)

    def _evaluate(self, target: str, expression: str) -> Any:
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        try:
            found = self._call("Runtime.evaluate", session, expression=expression, returnByValue=True)
            return found["result"].get("value")
        finally:
            self._call("Target.detachFromTarget", sessionId=session)

    def _call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params}
        self._socket.send(json.dumps({**message, "sessionId": session} if session else message))
        while True:
            reply = json.loads(self._socket.recv(timeout=20))
            if reply.get("id") == self._calls:
                assert "error" not in reply, reply
                found: dict[str, Any] = reply["result"]
                return found


@contextmanager
def running(chromium: str) -> Iterator[Tabs]:
    """A browser with a profile of its own, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [chromium, *CHROMIUM_FLAGS, "--headless", "--remote-debugging-port=0"]
        process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        try:
            address = next(line.split()[-1] for line in process.stderr if "DevTools listening on" in line)
            with connect(address, max_size=None) as socket:
                yield Tabs(socket)
        finally:
            process.terminate()
            process.communicate(timeout=20)

"""Counts what the package does while something runs: its calls, by name, and its lines. No clock is asked."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType, TracebackType
from typing import Any, Self

from tests.rig import ROOT

PACKAGE = str(ROOT / "presence_svc")
LINE = "a line"
BUILT_IN = "a built-in"


class Work(Counter[str]):
    """`with Work() as work:` counts in this thread, of code that begins to run inside.

    Functions of the package by their names; calls out of it to what is built in, and lines, as one number
    each. Of what it calls in other packages nothing is counted.
    """

    def __enter__(self) -> Self:
        self._before = sys.gettrace(), sys.getprofile()
        sys.settrace(self._trace)
        sys.setprofile(self._profile)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(self._before[1])
        sys.settrace(self._before[0])

    def more_than(self, other: Work, times: int) -> dict[str, int]:
        """What was done so many times more often than in `other`, rounded: how often each time."""
        more = {name: round((n - other[name]) / times) for name, n in self.items()}
        return {name: n for name, n in more.items() if n}

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self[LINE] += 1
        return self._trace

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            if event == "call":
                self[frame.f_code.co_qualname] += 1
            elif event == "c_call":
                self[BUILT_IN] += 1

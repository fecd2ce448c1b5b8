"""`python -m tests.faults.stepped python -m tests.service serve`: on a host whose clock is set meanwhile.

SIGUSR1 sets it a day forward, SIGUSR2 a day back. What Python is told of the time of day changes, as it does
when somebody sets the clock; what has passed since the boot does not.
"""

from __future__ import annotations

import runpy
import signal
import sys
import time

DAY_S = 86_400
_now, _now_ns = time.time, time.time_ns
_ahead_s = 0


def _set(number: int, frame: object) -> None:
    global _ahead_s
    _ahead_s += DAY_S if number == signal.SIGUSR1 else -DAY_S


time.time = lambda: _now() + _ahead_s
time.time_ns = lambda: _now_ns() + _ahead_s * 1_000_000_000
signal.signal(signal.SIGUSR1, _set)
signal.signal(signal.SIGUSR2, _set)

if __name__ == "__main__":
    module = sys.argv[3]
    del sys.argv[1:4]
    runpy.run_module(module, run_name="__main__", alter_sys=True)

"""The service with short minutes: `python -m tests.benchmarks.short_minutes MS serve`. Used by closing."""

from __future__ import annotations

import sys

from presence_svc.cli import main
from presence_svc.settings import Settings

if __name__ == "__main__":
    Settings.minute_ms = int(sys.argv.pop(1))
    main()

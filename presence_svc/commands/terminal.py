"""How commands end in a terminal: what is said when there is nothing to talk to, and after Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

FAILED, INTERRUPTED = 1, 130  # as shells have it: 128 and the signal's number


def fail(message: str) -> int:
    """One sentence, and the status to exit with."""
    typer.secho(message, fg="red", err=True)
    return FAILED


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, SIGTERM ends as Ctrl-C does: by itself it would leave the cursor hidden."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

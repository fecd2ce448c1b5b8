"""How commands end in a terminal: with an error message, or after Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

FAILED, INTERRUPTED = 1, 130  # 128 plus the signal's number, as in shells


def fail(message: str) -> int:
    """Prints an error message and returns the exit status."""
    typer.secho(message, fg="red", err=True)
    return FAILED


@contextmanager
def interruptible() -> Iterator[None]:
    """Makes SIGTERM end the command like Ctrl-C does: otherwise the cursor would stay hidden."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

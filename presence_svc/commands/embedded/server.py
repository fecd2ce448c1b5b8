"""The embedded server as `serve` runs it: with its directory locked, and restarted when it has died.

Refuses a directory that another presence-svc uses: two servers would write the same files.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ...errors import Misconfigured
from ...store.redis.embedded import EmbeddedServer

log = logging.getLogger("presence.serve")
LOCK = ".presence-svc.lock"
SPACE = "it needs a writable directory: mount one at /tmp, or set TMPDIR to one"
CHECK_S = 0.5
LONGEST_PAUSE_S = 30.0


@contextmanager
def embedded_server(data_dir: Path | None = None) -> Iterator[EmbeddedServer]:
    """Runs the server until the end of the context. Raises Misconfigured."""
    with ExitStack() as stack:
        if data_dir is not None:
            stack.enter_context(_alone_in(data_dir))
        server = EmbeddedServer(data_dir=data_dir)
        try:
            stack.enter_context(server)
        except OSError as error:
            raise Misconfigured(f"the embedded server cannot be started ({error}): {SPACE}") from None
        stack.enter_context(_watched(server))
        yield server


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Locks the directory; the system releases the lock when the process dies."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Misconfigured(f"--data: {directory} cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Misconfigured(
            f"--data: {directory} is in use by another presence-svc: give each its own"
        ) from None
    except OSError as error:  # a file system without locks
        log.warning(
            "%s cannot be locked (%s): make sure that no other presence-svc uses it", directory, error
        )
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def _watched(server: EmbeddedServer) -> Iterator[None]:
    """Restarts the server, under the same URL, if it has died, for instance because memory was short."""
    is_over = threading.Event()
    watch = threading.Thread(target=_keep, args=(server, is_over), name="embedded-watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        is_over.set()
        watch.join()


def _keep(server: EmbeddedServer, is_over: threading.Event) -> None:
    pause_s, is_missing = CHECK_S, False
    while not is_over.wait(pause_s):
        if not is_missing and not server.has_ended:
            continue
        if not is_missing:
            log.error("the embedded server has ended: starting it again")
        try:
            server.start()
            pause_s, is_missing = CHECK_S, False
        except (Misconfigured, OSError) as error:
            pause_s, is_missing = min(2 * pause_s, LONGEST_PAUSE_S), True
            log.error("the embedded server cannot be started: %s", error)

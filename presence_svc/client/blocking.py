"""`watch` for programs without an event loop: a thread listens, and the caller waits for its Counts."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Self, cast

from ..model import Count
from .changes import watch

END_S = 5.0


def watch_sync(
    redis_url: str,
    course_id: str,
    *,
    key_prefix: str | None = None,
    partitions: int | None = None,
    waiting: int = 100,
) -> BlockingWatch:
    """Iterates over the current Count, and then over a new one for each change:

        with watch_sync("redis://localhost", "python-101") as counts:
            for count in counts:
                print(count.total)

    Like `watch`, in a thread of its own. At most `waiting` Counts are kept for a slow caller; older ones are
    dropped, because each Count is complete. Raises ValueError for a malformed id, at the first Count.
    """
    changes = watch(redis_url, course_id, key_prefix=key_prefix, partitions=partitions)
    return BlockingWatch(cast(AsyncGenerator[Count, None], changes), waiting)


class BlockingWatch(Iterator[Count]):
    """An iterator over Counts until `close()`, which any thread may call."""

    def __init__(self, changes: AsyncGenerator[Count, None], waiting: int) -> None:
        if waiting < 1:
            raise ValueError("waiting must be at least 1")
        self._changes = changes
        self._heard: deque[Count] = deque(maxlen=waiting)
        self._news = threading.Condition()
        self._is_over = False
        self._process = os.getpid()
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        # A daemon thread: a watch that was not closed must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="presence-watch", daemon=True)
        self._thread.start()

    def get(self, timeout_s: float | None = None) -> Count:
        """The next Count. Raises TimeoutError if none comes in time, StopIteration after `close()`.

        Raises RuntimeError in a process that was forked since: the thread only runs in the parent.
        """
        if self._is_forked():
            raise RuntimeError("this watch was opened before a fork: open one in this process")
        with self._news:
            if not self._news.wait_for(lambda: self._heard or self._is_over, timeout_s):
                raise TimeoutError(f"no change within {timeout_s} s")
            if self._is_over and self._failure is None:
                raise StopIteration
            if self._heard:
                return self._heard.popleft()
            assert self._failure is not None  # noqa: S101 - checked above
            raise self._failure

    def __next__(self) -> Count:
        return self.get()

    def close(self) -> None:
        """Ends the subscription and the thread, and wakes threads that wait. May be called repeatedly."""
        if self._is_forked():
            return  # the thread and the subscription belong to the parent
        with self._news:
            self._is_over = True
            self._news.notify_all()
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._cancel)
        if threading.current_thread() is not self._thread:
            self._thread.join(END_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_forked(self) -> bool:
        return self._process != os.getpid()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        try:
            self._task = self._loop.create_task(self._listen())
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._failure = error
        finally:
            with self._news:
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
                self._loop.close()
                self._is_over = True
                self._news.notify_all()

    async def _listen(self) -> None:
        async with aclosing(self._changes) as changes:
            async for count in changes:
                with self._news:
                    self._heard.append(count)
                    self._news.notify()

"""The listeners of one course, in groups that asked for the same and so get the same frames.

Owned by live.feed, which makes a frame per group and not per listener.
"""

from __future__ import annotations

from typing import TypeVar

from .listener import Listener, Selection

Key = TypeVar("Key")


class Audience:
    """`by_chapters` has all listeners; `by_names` those that want names, by how many and whether steadily.

    No group is empty. What a listener asks for never changes.
    """

    __slots__ = ("_course_id", "by_chapters", "by_names")

    def __init__(self, course_id: str) -> None:
        self._course_id = course_id
        self.by_chapters: dict[Selection, set[Listener]] = {}
        self.by_names: dict[tuple[int, bool], set[Listener]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.by_chapters.values()))

    def __contains__(self, listener: Listener) -> bool:
        return listener in self.by_chapters.get(listener.chapters, ())

    @property
    def most_names(self) -> int:
        """The largest number of names that any listener wants."""
        return max((n for n, _ in self.by_names), default=0)

    def add(self, listener: Listener) -> None:
        self.by_chapters.setdefault(listener.chapters, set()).add(listener)
        if n := listener.wants(self._course_id):
            self.by_names.setdefault((n, listener.is_steady), set()).add(listener)

    def discard(self, listener: Listener) -> None:
        _discard(self.by_chapters, listener.chapters, listener)
        _discard(self.by_names, (listener.wants(self._course_id), listener.is_steady), listener)


def _discard(groups: dict[Key, set[Listener]], key: Key, listener: Listener) -> None:
    group = groups.get(key)
    if group is not None:
        group.discard(listener)
        if not group:
            del groups[key]

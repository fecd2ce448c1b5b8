"""Who listens to one course, in groups that asked for the same and so are told the same.

Owned by live.feed: a change asks each group what it wants, and no single listener.
"""

from __future__ import annotations

from typing import TypeVar

from .listener import Listener, Selection

Wish = TypeVar("Wish")


class Audience:
    """`by_chapters` holds everybody; `by_names` whoever wants names, by how many and whether they stay.

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
        """How many names the most curious listener wants."""
        return max((n for n, _ in self.by_names), default=0)

    def add(self, listener: Listener) -> None:
        self.by_chapters.setdefault(listener.chapters, set()).add(listener)
        if n := listener.wants(self._course_id):
            self.by_names.setdefault((n, listener.is_steady), set()).add(listener)

    def discard(self, listener: Listener) -> None:
        _discard(self.by_chapters, listener.chapters, listener)
        _discard(self.by_names, (listener.wants(self._course_id), listener.is_steady), listener)


def _discard(groups: dict[Wish, set[Listener]], wish: Wish, listener: Listener) -> None:
    group = groups.get(wish)
    if group is not None:
        group.discard(listener)
        if not group:
            del groups[wish]

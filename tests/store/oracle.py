"""What the rules say, in plain Python: who is present after any history. The oracle of test_machine."""

from __future__ import annotations

from dataclasses import dataclass, field

TTL, HIDDEN, GRACE = 60_000, 150_000, 3_000
FOR_GOOD = float("inf")
Key = tuple[str, str, str]  # course, viewer, session


@dataclass
class Session:
    """What a session has said last, and until when it holds."""

    lease: int
    seq: int
    chapter: str | None
    anonymous: bool


@dataclass
class Model:
    """The rules in plain Python. All times are the model's: Redis's clock plus what was made to pass."""

    live: dict[Key, Session] = field(default_factory=dict)
    left: dict[Key, tuple[float, int]] = field(default_factory=dict)  # mark (inf = for good), forgotten at

    def at(self, now: int) -> None:
        """What has ended by now is gone."""
        self.live = {key: s for key, s in self.live.items() if s.lease > now}
        self.left = {key: mark for key, mark in self.left.items() if mark[1] >= now}

    def beat(self, key: Key, now: int, seq: int | None, chapter: str | None, hidden: bool, anon: bool) -> int:
        """The end of the session's lease; `now` when it has left."""
        old = self.live.get(key)
        if old and seq is not None and seq < old.seq:
            return old.lease
        mark = self.left.get(key, (-1.0, 0))[0] if not old else -1.0
        if mark == FOR_GOOD or (seq is not None and seq < mark):
            return now
        lease = now + (HIDDEN if hidden else TTL)
        said_last = max(-1 if seq is None else seq, old.seq if old else -1)
        self.live[key] = Session(lease, said_last, chapter, anon)
        return lease

    def take_over(self, source: Key, target: Key, now: int, seq: int | None, anon: bool) -> None:
        """What was an anonymous viewer's session is another's, before a heartbeat of theirs is heard."""
        old = self.live.get(source)
        if old and seq is not None and seq < old.seq:
            self._mark(target, old.seq, now)
            return
        if old or seq is not None:
            self._mark(source, FOR_GOOD if seq is None else seq, now)
        if old:
            del self.live[source]
            mark = self.left.get(target, (-1.0, 0))[0]
            has_left = mark == FOR_GOOD or (seq is not None and seq < mark)
            if target not in self.live and not has_left:
                self.live[target] = Session(old.lease, old.seq, old.chapter, anon)

    def _mark(self, key: Key, mark: float, now: int) -> None:
        """Marks only grow; those of one viewer are forgotten together, a TTL after the last."""
        if mark > self.left.get(key, (-1.0, 0))[0]:
            self.left[key] = (mark, 0)
            for each in [each for each in self.left if each[:2] == key[:2]]:
                self.left[each] = (self.left[each][0], now + TTL)

    def leave(self, key: Key, now: int, seq: int | None, soft: bool) -> None:
        old = self.live.get(key)
        if not soft:
            self.live.pop(key, None)
            self._mark(key, FOR_GOOD, now)
        elif not (old and seq is not None and seq < old.seq):
            mark = -1 if seq is None else seq
            if old:
                if seq is None and old.seq >= 0:  # newer than all said; a duplicate is not
                    again = old.lease <= now + GRACE and self.left.get(key, (-1.0, 0))[0] == old.seq
                    mark = old.seq if again else old.seq + 1
                old.lease, old.seq = min(old.lease, now + GRACE), max(mark, old.seq)
            self._mark(key, mark, now)

    def evict(self, course: str, viewer: str, now: int) -> None:
        for key in [key for key in self.live if key[:2] == (course, viewer)]:
            self.leave(key, now, None, soft=False)

    def count(self, course: str) -> tuple[int, int, dict[str, int]]:
        """total, anonymous, chapters."""
        mine = [(key[1], s) for key, s in self.live.items() if key[0] == course]
        inside = {(s.chapter, viewer) for viewer, s in mine if s.chapter}
        chapters = [chapter for chapter, _ in inside]
        anonymous = {viewer for viewer, s in mine if s.anonymous}
        total = len({viewer for viewer, _ in mine})
        return total, len(anonymous), {str(chapter): chapters.count(chapter) for chapter in chapters}

    def named(self, course: str) -> dict[str, tuple[list[str], int]]:
        """Chapters and lease end of each viewer whom a roster shows."""
        found = {}
        for viewer in {key[1] for key in self.live if key[0] == course}:
            own = [s for key, s in self.live.items() if key[:2] == (course, viewer)]
            if not any(s.anonymous for s in own):
                chapters = sorted({s.chapter for s in own if s.chapter})
                found[viewer] = (chapters, max(s.lease for s in own))
        return found

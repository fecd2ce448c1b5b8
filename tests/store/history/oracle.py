"""History by brute force: who was present from when to when. The oracle of test_machine."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tests.store.oracle import Model

Room = tuple[str, str]  # a course and one of its chapters, "" = all of it


@dataclass
class Minute:
    peak: int = 0
    area: int = 0


@dataclass
class Log:
    """Every state that there was, with its moment: leases end by themselves between two of them."""

    minute: int
    states: list[tuple[int, dict[Room, dict[str, int]]]] = field(default_factory=list)

    def note(self, now: int, model: Model) -> None:
        rooms: dict[Room, dict[str, int]] = defaultdict(dict)
        for (course, viewer, _), session in model.live.items():
            for room in {(course, ""), (course, session.chapter or "")}:
                if session.lease > now:
                    rooms[room][viewer] = max(session.lease, rooms[room].get(viewer, 0))
        self.states.append((now, dict(rooms)))

    def minutes(self, until: int) -> dict[tuple[Room, int], Minute]:
        """Peak and viewer time of every minute before `until` in which anybody was there."""
        found: dict[tuple[Room, int], Minute] = defaultdict(Minute)
        before: dict[Room, dict[str, int]] = {}
        for (begin, rooms), end in self._stretches(until):
            for room, leases in rooms.items():
                # A state of no length counts when somebody came: who ends on a boundary ends before it.
                there = {viewer for viewer, lease in before.get(room, {}).items() if lease > begin}
                if end > begin or leases.keys() - there:
                    self._segment(found, room, list(leases.values()), begin, end)
            before = rooms
        return {
            key: one
            for key, one in found.items()
            if (one.peak or one.area) and (key[1] + 1) * self.minute <= until
        }

    def _stretches(self, until: int) -> list[tuple[tuple[int, dict[Room, dict[str, int]]], int]]:
        """Every state with its end."""
        ends = [moment for moment, _ in self.states[1:]] + [until]
        return list(zip(self.states, ends[: len(self.states)], strict=True))

    def _segment(
        self, found: dict[tuple[Room, int], Minute], room: Room, leases: list[int], begin: int, end: int
    ) -> None:
        first = found[room, begin // self.minute]
        first.peak = max(first.peak, len(leases))
        for minute in range(begin // self.minute, (end - 1) // self.minute + 1 if end > begin else 0):
            low = max(begin, minute * self.minute)
            high = min(end, (minute + 1) * self.minute)
            one = found[room, minute]
            one.peak = max(one.peak, sum(lease > low for lease in leases))
            one.area += sum(max(0, min(lease, high) - low) for lease in leases)

    def viewers(self, until: int, day: int) -> dict[tuple[str, int], set[str]]:
        """Who was in a course on a day (of `day` ms), before `until`."""
        found: dict[tuple[str, int], set[str]] = defaultdict(set)
        for (begin, rooms), end in self._stretches(until):
            for (course, chapter), leases in rooms.items():
                for viewer, lease in leases.items() if not chapter else ():
                    for one in range(begin // day, max(begin, min(lease, end) - 1) // day + 1):
                        found[course, one].add(viewer)
        return found

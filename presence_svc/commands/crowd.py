"""Simulated viewers: who they are, and when they arrive, change chapter, hide their tab and leave.

Pure: takes the time and a random generator, and returns what viewers send. Used by demo and simulate.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

COURSES = ("python-101", "react-deep-dive", "redis-in-action", "design-systems")
CHAPTERS = tuple(f"ch-{number}" for number in range(1, 9))
_NAMES = """
    Ada Okafor, Akira Mori, Alba Reyes, Amara Diallo, Amir Haddad, Ana Souza, Anders Holm, Anika
    Rao, Arjun Mehta, Astrid Lund, Aylin Kaya, Beatriz Costa, Bram de Vries, Camille Roux,
    Carlos Mendes, Chen Wei, Chiara Conti, Clara Novak, Daniel Kim, Dara O'Brien, Diego Vargas,
    Elif Demir, Elin Berg, Emeka Obi, Emma Fischer, Fatima Zahra, Felix Wagner, Freya Nilsen,
    Gabriel Silva, Grace Mwangi, Hana Sato, Hugo Martin, Ibrahim Sow, Ines Ferreira, Ingrid
    Dahl, Isla Campbell, Ivan Petrov, Jamal Carter, Jana Kovac, Jonas Keller, Julia Nowak, Kavya
    Nair, Kenji Ito, Lars Jensen, Leila Amini, Linh Tran, Lucia Romano, Mads Friis, Maya Cohen,
    Mei Lin, Mila Horvat, Nadia Rahman, Noah Williams, Nour El-Sayed, Oksana Bondar, Olivia
    Brown, Priya Sharma, Rafael Ortiz, Samira Khan, Sofia Rossi, Tariq Aziz, Tomas Dvorak, Yara
    Haddad, Zanele Dube
"""
NAMES = tuple(" ".join(_NAMES.split()).split(", "))
ANONYMOUS_SHARE = 0.2
HIDING_SHARE = 0.1
CRASH_SHARE = 0.1
CHAPTER_S = 25.0
STAY_S = 150.0


@dataclass(slots=True)
class Viewer:
    """A simulated viewer with one session. Times are in seconds of the caller's monotonic clock."""

    viewer_id: str
    course_id: str
    name: str
    anonymous: bool
    chapter: int
    leaves_at: float
    moves_at: float
    beats_at: float
    crashes: bool = False
    hidden: bool = False
    seq: int = 0

    def heartbeat(self) -> dict[str, Any]:
        """The body of the viewer's next heartbeat."""
        self.seq += 1
        body: dict[str, Any] = {
            "viewer_id": self.viewer_id,
            "chapter_id": CHAPTERS[self.chapter],
            "seq": self.seq,
            "hidden": self.hidden,
        }
        return body | ({"anonymous": True} if self.anonymous else {"name": self.name})

    def leave(self) -> dict[str, Any]:
        self.seq += 1
        return {"viewer_id": self.viewer_id, "seq": self.seq}

    def move_on(self, now: float, chance: random.Random) -> None:
        """Moves to the next chapter, sometimes back to an earlier one, or hides or shows the tab."""
        if self.hidden or chance.random() < HIDING_SHARE:
            self.hidden = not self.hidden
        elif chance.random() < 0.15:
            self.chapter = chance.randrange(self.chapter + 1)
        else:
            self.chapter = min(self.chapter + 1, len(CHAPTERS) - 1)
        self.moves_at = now + chance.expovariate(1 / CHAPTER_S)
        self.beats_at = now


@dataclass(slots=True)
class Crowd:
    """About `size` viewers over some courses, most of them in the first.

    `run_id` distinguishes the viewers of different runs, because a session that has left cannot return.
    """

    size: int
    courses: Sequence[str] = COURSES
    chance: random.Random = field(default_factory=random.Random)
    run_id: str = field(default_factory=lambda: secrets.token_hex(3))
    viewers: list[Viewer] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def arrive(self, now: float) -> Viewer:
        """Adds a viewer, whose first heartbeat is due at once."""
        chance = self.chance
        weights = [1 / (place + 1) for place in range(len(self.courses))]
        viewer = Viewer(
            viewer_id=f"sim-{self.run_id}-{next(self._numbers)}",
            course_id=chance.choices(self.courses, weights)[0],
            name=self._name(),
            anonymous=chance.random() < ANONYMOUS_SHARE,
            # The smaller of two draws: most viewers are early in a course.
            chapter=min(chance.randrange(len(CHAPTERS)), chance.randrange(len(CHAPTERS))),
            leaves_at=now + 5 + chance.expovariate(1 / STAY_S),
            moves_at=now + chance.expovariate(1 / CHAPTER_S),
            beats_at=now,
            crashes=chance.random() < CRASH_SHARE,
        )
        self.viewers.append(viewer)
        return viewer

    def _name(self) -> str:
        """A name that no other viewer has, while there are any left."""
        taken = {viewer.name for viewer in self.viewers}
        return self.chance.choice([name for name in NAMES if name not in taken] or NAMES)

    def step(self, now: float, seconds: float) -> tuple[list[Viewer], list[Viewer]]:
        """Lets `seconds` pass; returns the viewers whose heartbeat is due and those who leave.

        A viewer who crashes is in neither list: the service has to notice by itself.
        """
        gone = [viewer for viewer in self.viewers if viewer.leaves_at <= now]
        self.viewers = [viewer for viewer in self.viewers if viewer.leaves_at > now]
        # During one average stay as many arrive as should be present, and more while there are too few.
        missing = max(0, self.size - len(self.viewers))
        expected = self.size * seconds / STAY_S / 2 + missing * seconds / 15
        while (expected := expected - self.chance.expovariate(1)) > 0:
            self.arrive(now)
        for viewer in self.viewers:
            if viewer.moves_at <= now:
                viewer.move_on(now, self.chance)
        due = [viewer for viewer in self.viewers if viewer.beats_at <= now]
        return due, [viewer for viewer in gone if not viewer.crashes]

"""S13 and S14 against brute force: after any history every minute is exact, and people is a set of ids.

Hypothesis drives two replicas on a real server whose scripts read a clock that the test turns. Sessions join,
beat, hide, leave softly or for good, sign in, are evicted, lapse and come back before they are swept; sweeps
remove one member at a time or a thousand; hours and days pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from presence_svc.store import agenda
from presence_svc.store.people.counter import PeopleCounter
from presence_svc.store.redis.url import connect
from tests.cluster_rig import ClusterBackend, cluster
from tests.rig import REAL_BACKENDS
from tests.store.cluster_client import ClusterClient
from tests.store.history import clock
from tests.store.history.clock import DAY, HOUR, MINUTE, QUARTER
from tests.store.history.oracle import Log, Minute
from tests.store.history.raw import read
from tests.store.oracle import Model
from tests.store.replica import SIGNING_IN

Answer = TypeVar("Answer")
COURSES, VIEWERS = ("c1", "c2", "c3"), ("ada", "bob", "cleo", "dan")
CHAPTERS = (None, None, "ch-1", "ch-2", "ch-3")
SPANS = (1, 250, 700, MINUTE, 3_300, QUARTER, 45_000, HOUR, 61_000, 151_000, 10 * HOUR, DAY)
LIMITS = (1, 2, 1_000)
SESSIONS = 3
EXAMPLES = 30


class Machine(RuleBasedStateMachine):
    """One history. `chapters_limit` is small, so that chapters give their places up."""

    client: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    chapters_limit = 500

    def __init__(self) -> None:
        super().__init__()
        self.clients = [self.client() for _ in range(2)]
        options = {"uniques": "exact", "chapters_per_course": self.chapters_limit}
        self.replicas = [clock.replica(client, **SIGNING_IN, **options) for client in self.clients]
        one, is_cluster = self.replicas[0], isinstance(self.clients[0], ClusterClient)
        # On a Cluster people are added up in a second phase: tests/store/people/test_union.py.
        self.people = None if is_cluster else PeopleCounter(one.link, one.settings, one.keys)
        self.model, self.log = Model(), Log(MINUTE)
        self.now = clock.START + DAY - 90_000
        self.sessions = 0
        self.signed_in: set[str] = set()
        self.run(self._begin())

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(work)

    async def _begin(self) -> None:
        await self.clients[0].flushall()
        await clock.set_clock(self.clients[0], self.now)

    def teardown(self) -> None:
        try:
            self._pass(2 * 150_000 + 3 * HOUR)
            self._sweep_all()
            self._compare()
        finally:
            for client in self.clients:
                self.run(client.aclose())

    def _pass(self, ms: int) -> None:
        self.now += ms
        self.run(clock.set_clock(self.clients[0], self.now))

    def _note(self) -> None:
        self.model.at(self.now)
        self.log.note(self.now, self.model)

    def _sweep_all(self) -> None:
        """Until nothing is due."""
        agenda.MEMBERS = 1_000
        for n in range(3_000):
            swept = self.run(self.replicas[n % 2].agenda.sweep(COURSES))
            if all(not one.next_due or one.next_due > self.now for one in swept):
                return
        raise AssertionError("the agenda never comes to rest")

    def _compare(self) -> None:
        """Every closed minute, quarter and day, of courses and chapters."""
        kept = self.run(read(self.clients[0]))
        expected = self.log.minutes(self.now)
        for tier, span in ((kept.minutes, 1), (kept.quarters, 15), (kept.days, 1_440)):
            folded: dict[Any, Minute] = {}
            for (room, minute), one in expected.items():
                fold = folded.setdefault((room, minute // span), Minute())
                fold.peak, fold.area = max(fold.peak, one.peak), fold.area + one.area
            assert tier == folded, _difference(tier, folded)
        assert kept.torn == 0
        assert sorted(kept.closed) == sorted({(room[0], minute // 15) for room, minute in expected})
        self._compare_uniques(kept.uniques)

    def _compare_uniques(self, found: dict[tuple[str, int], set[str]]) -> None:
        """Who has signed in may be counted twice, as two people, or once."""
        for key, viewers in self.log.viewers(self.now, DAY).items():
            kept = found.get(key, set())
            assert viewers - self.signed_in <= kept <= viewers, key

    def _beat(self, replica: int, key: tuple[str, str, str], chapter: str | None, hidden: bool, anon: bool,
              former: str = "") -> None:  # fmt: skip
        course, viewer, session = key
        self.model.at(self.now)
        inside = {s.chapter for k, s in self.model.live.items() if k[0] == course and s.chapter}
        room = -(-self.chapters_limit // 2) if anon else self.chapters_limit
        if chapter not in inside and len(inside) >= room:
            chapter = None
        if former:
            self.model.take_over((course, former, session), key, self.now, None, anon)
            self._note()
            self.signed_in.add(former)
        self.model.beat(key, self.now, None, chapter, hidden, anon)
        said = {"chapter": chapter, "hidden": hidden, "anonymous": anon, "take_over_from": former}
        self.run(self.replicas[replica].beat(viewer, session, course=course, **said))
        self._note()

    def _session(self, course: str, viewer: str, new: bool, which: int) -> str:
        mine = [s for c, v, s in self.model.live if (c, v) == (course, viewer)]
        if mine and (not new or len(mine) >= SESSIONS):
            return mine[which % len(mine)]
        self.sessions += 1
        return f"s{self.sessions}"

    either = st.sampled_from((0, 1))
    courses = st.sampled_from(COURSES)
    chapters = st.sampled_from(CHAPTERS)
    which = st.integers(0, 5)

    @rule(
        course=courses, viewer=st.sampled_from(VIEWERS), new=st.booleans(), which=which, replica=either,
        chapter=chapters, hidden=st.booleans(), anonymous=st.sampled_from((False, False, True)),
    )  # fmt: skip
    def heartbeat(
        self, course: str, viewer: str, new: bool, which: int, replica: int, chapter: str | None,
        hidden: bool, anonymous: bool,
    ) -> None:  # fmt: skip
        self.model.at(self.now)
        session = self._session(course, viewer, new, which)
        self._beat(replica, (course, viewer, session), chapter, hidden, anonymous)

    @rule(course=courses, replica=either, chapter=chapters, hidden=st.booleans())
    def comes_without_a_token(self, course: str, replica: int, chapter: str | None, hidden: bool) -> None:
        self.sessions += 1
        session = f"s{self.sessions}"
        self._beat(replica, (course, f"anon~{session}", session), chapter, hidden, True)

    @precondition(lambda self: self.model.live)
    @rule(viewer=st.sampled_from(VIEWERS), which=st.integers(0, 50), replica=either, chapter=chapters)
    def signs_in(self, viewer: str, which: int, replica: int, chapter: str | None) -> None:
        self.model.at(self.now)
        strangers = sorted(key for key in self.model.live if key[1].startswith("anon~"))
        if not strangers:
            return
        course, former, session = strangers[which % len(strangers)]
        if len([1 for c, v, _ in self.model.live if (c, v) == (course, viewer)]) < SESSIONS:
            self._beat(replica, (course, viewer, session), chapter, False, False, former)

    @precondition(lambda self: self.model.live)
    @rule(which=st.integers(0, 50), replica=either, soft=st.booleans())
    def leave(self, which: int, replica: int, soft: bool) -> None:
        live = sorted(self.model.live)
        course, viewer, session = live[which % len(live)]
        self.model.at(self.now)
        self.model.leave((course, viewer, session), self.now, None, soft)
        self.run(self.replicas[replica].leave(viewer, session, course=course, soft=soft))
        self._note()

    @rule(course=courses, viewer=st.sampled_from(VIEWERS), replica=either)
    def evict(self, course: str, viewer: str, replica: int) -> None:
        self.model.at(self.now)
        self.model.evict(course, viewer, self.now)
        self.run(self.replicas[replica].presence.evict(course, viewer))
        self._note()

    @rule(ms=st.sampled_from(SPANS))
    def time_passes(self, ms: int) -> None:
        self._pass(ms)

    @rule(ms=st.integers(1, 3 * MINUTE))
    def a_little_time_passes(self, ms: int) -> None:
        self._pass(ms)

    @rule()
    def a_minute_ends_now(self) -> None:
        self._pass(MINUTE - self.now % MINUTE)

    @rule(replica=either, limit=st.sampled_from(LIMITS))
    def sweep(self, replica: int, limit: int) -> None:
        agenda.MEMBERS = limit
        self.run(self.replicas[replica].sweep())

    @rule(course=courses, replica=either, limit=st.sampled_from(LIMITS))
    def sweep_one(self, course: str, replica: int, limit: int) -> None:
        agenda.MEMBERS = limit
        self.run(self.replicas[replica].agenda.sweep([course]))

    @rule()
    def all_comes_to_rest(self) -> None:
        self._sweep_all()

    @invariant()
    def people_is_a_set_of_ids(self) -> None:
        """S14, swept or not: through signing in, evictions and several courses."""
        if self.people is None:
            return
        self.model.at(self.now)
        told = self.run(self.people.count())
        assert told is not None
        assert (told.people, told.exact) == (len({viewer for _, viewer, _ in self.model.live}), True)

    @invariant()
    def counts_are_true(self) -> None:
        """S1, S2, S4: what history hears of changes nothing of what is."""
        self.model.at(self.now)
        for count in self.run(self.replicas[1].presence.counts(COURSES)):
            total, anonymous, chapters = self.model.count(count.course_id)
            assert (count.total, count.anonymous, count.chapters) == (total, anonymous, chapters)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", REAL_BACKENDS)
@pytest.mark.parametrize(("chapters_limit", "lines"), [(500, 1), (2, None)])
def test_no_minute_is_wrong(
    kind: str, chapters_limit: int, lines: int | None, empty_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13, S14: random histories of 30 steps, each minute, quarter and day compared with brute force.

    With one line a call, a minute is written by as many calls as it has chapters, and all else in between.
    """
    monkeypatch.setattr(agenda, "MEMBERS", 1_000)
    monkeypatch.setattr(Machine, "chapters_limit", chapters_limit)
    with asyncio.Runner() as runner, clock.turned_clock(lines=lines):
        url = empty_server(kind).url
        Machine.client = staticmethod(lambda: connect(url, timeout_s=10))
        Machine.loop = runner.get_loop()
        _run(EXAMPLES)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_minute_is_wrong_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """S13, S15: the same over the partitions of three masters, each with its own agenda and clock."""
    monkeypatch.setattr(agenda, "MEMBERS", 1_000)
    with cluster() as servers, asyncio.Runner() as runner, clock.turned_clock(on_a_cluster=True):
        backend = ClusterBackend(servers)
        runner.run(backend.__aenter__())
        Machine.client = staticmethod(backend.client)
        Machine.loop = runner.get_loop()
        _run(EXAMPLES)
        runner.run(backend.__aexit__())


def _run(examples: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def _difference(tier: dict[Any, Minute], folded: dict[Any, Minute]) -> dict[Any, tuple[Any, Any]]:
    """What is kept and what should be, where they are not the same."""
    return {
        key: (tier.get(key), folded.get(key))
        for key in tier.keys() | folded.keys()
        if tier.get(key) != folded.get(key)
    }

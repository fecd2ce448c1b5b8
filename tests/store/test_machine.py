"""Rules S1 to S8 and S12 against a model: any history of packets and time ends as oracle.py says.

Hypothesis drives two replicas on a real server: sessions beat, sign in, leave and lapse in several courses
and chapters, packets come twice and late, either replica sweeps. Time passes by ageing what is stored, and
the model takes the moments that Redis returned, so no step sleeps and no assertion needs a margin.
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

from presence_svc.model import Count
from presence_svc.store.redis.url import connect
from tests.cluster_rig import ClusterBackend, cluster
from tests.store.audit import audit
from tests.store.oracle import HIDDEN, Key, Model
from tests.store.replica import SIGNING_IN, Replica, ear_of, said, without_moment

Answer = TypeVar("Answer")
COURSES, VIEWERS, SESSIONS = ("c1", "c2"), ("ada", "bob", "cleo"), ("main", "tab")
ANONYMOUS = "anon~"  # and the session: who it is without a token
CHAPTERS = (None, "ch-1", "ch-2", "ch-3")
SPANS = (1_000, 2_000, 4_000, 20_000, 45_000, 59_000, 61_000, 100_000)


class Machine(RuleBasedStateMachine):
    """One history. Every rule acts on Redis and on the model, and compares what they answer."""

    client: Callable[[], Any]
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[Any] = [self.client() for _ in range(3)]
        self.replicas = [Replica(client, **SIGNING_IN) for client in self.clients[:2]]
        self.ear = ear_of(self.clients[2])
        self.model = Model()
        self.sent: list[tuple[Any, ...]] = []
        self.versions = dict.fromkeys(COURSES, 0)
        self.run(self._empty())
        self.run(self.ear.__aenter__())

    @property
    def passed(self) -> int:
        return self.replicas[0].passed

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(work)

    async def _empty(self) -> None:
        await self.clients[0].flushall()

    def teardown(self) -> None:
        """S8, S12: swept, the last message is the truth; and after all leases only `state` is left."""
        try:
            self._everything_swept()
            self.run(self.replicas[0].pass_time(2 * HIDDEN, self.replicas[1]))
            self._everything_swept()
            names = self.run(self.replicas[0].names())
            assert names <= {self.replicas[0].keys.course(course).state for course in COURSES}
        finally:
            self.run(self._close())

    async def _close(self) -> None:
        await self.ear.__aexit__()
        for client in self.clients:
            await client.aclose()

    def _everything_swept(self) -> None:
        self.run(self.replicas[0].settle())
        messages = without_moment(self.run(self.ear.hear()))
        for course in COURSES:
            count = self.run(self.replicas[0].count(course))
            spoken = [message for message in messages if message["course_id"] == course]
            versions = [message["version"] for message in spoken]
            assert versions == sorted(set(versions)), "S8: versions strictly grow"
            assert (spoken[-1] if spoken else None) == (said(count) if spoken or count.total else None)

    def _deliver(self, replica: int, packet: tuple[Any, ...]) -> None:
        verb, (course, viewer, session), *rest = packet
        store = self.replicas[replica]
        if verb == "beat":
            seq, chapter, hidden, anonymous, before = rest
            statement = {"seq": seq, "chapter": chapter, "hidden": hidden, "anonymous": anonymous}
            recorded = self.run(
                store.beat(viewer, session, course=course, take_over_from=before, **statement)
            )
            now = recorded.as_of + self.passed
            self.model.at(now)
            if before:
                key = (course, viewer, session)
                self.model.take_over((course, before, session), key, now, seq, anonymous)
            ends = self.model.beat((course, viewer, session), now, seq, chapter, hidden, anonymous)
            assert recorded.expires_at + self.passed == ends
            assert recorded.total == self.model.count(course)[0]
        else:
            seq, soft = rest
            # A leave has no moment in its answer: the state tells the lease that it left.
            self.run(store.leave(viewer, session, course=course, seq=seq, soft=soft))
            now = self.run(store.now()) + self.passed
            self.model.at(now)
            self.model.leave((course, viewer, session), now, seq, soft)
            self.run(self._true_lease(store, (course, viewer, session)))

    async def _true_lease(self, store: Replica, key: Key) -> None:
        """Redis handled the leave some microseconds before we asked for the time."""
        mine = self.model.live.get(key)
        record = await store.redis.hget(store.keys.viewer(*key[:2]), f"s:{key[2]}")
        assert (record is None) == (mine is None)
        if mine and record:
            lease = int(record.split()[0]) + self.passed
            assert 0 <= mine.lease - lease < 1_000
            mine.lease = lease

    keys = st.tuples(st.sampled_from(COURSES), st.sampled_from(VIEWERS), st.sampled_from(SESSIONS))
    strangers = st.tuples(st.sampled_from(COURSES), st.sampled_from(SESSIONS)).map(
        lambda at: (at[0], ANONYMOUS + at[1], at[1])
    )
    seqs = st.none() | st.integers(0, 8)
    either = st.sampled_from((0, 1))

    @rule(
        who=keys, replica=either, seq=seqs, chapter=st.sampled_from(CHAPTERS), hidden=st.booleans(),
        anonymous=st.sampled_from((False, False, True)),
    )  # fmt: skip
    def heartbeat(
        self, who: Key, replica: int, seq: int | None, chapter: str | None, hidden: bool, anonymous: bool
    ) -> None:
        self.sent.append(("beat", who, seq, chapter, hidden, anonymous, ""))
        self._deliver(replica, self.sent[-1])

    @rule(who=strangers, replica=either, seq=seqs, chapter=st.sampled_from(CHAPTERS), hidden=st.booleans())
    def heartbeat_without_a_token(
        self, who: Key, replica: int, seq: int | None, chapter: str | None, hidden: bool
    ) -> None:
        self.sent.append(("beat", who, seq, chapter, hidden, True, ""))
        self._deliver(replica, self.sent[-1])

    @rule(
        who=keys, replica=either, seq=seqs, chapter=st.sampled_from(CHAPTERS), hidden=st.booleans(),
        anonymous=st.sampled_from((False, False, True)),
    )  # fmt: skip
    def signs_in(
        self, who: Key, replica: int, seq: int | None, chapter: str | None, hidden: bool, anonymous: bool
    ) -> None:
        """A heartbeat with a token, of a session that may have had none before."""
        self.sent.append(("beat", who, seq, chapter, hidden, anonymous, ANONYMOUS + who[2]))
        self._deliver(replica, self.sent[-1])

    @rule(who=keys | strangers, replica=either, seq=seqs, soft=st.booleans())
    def leave(self, who: Key, replica: int, seq: int | None, soft: bool) -> None:
        self.sent.append(("leave", who, seq, soft))
        self._deliver(replica, self.sent[-1])

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), replica=either)
    def late_or_twice(self, data: st.DataObject, replica: int) -> None:
        """The network delivers once more what was sent at any time before."""
        self._deliver(replica, data.draw(st.sampled_from(self.sent)))

    @rule(course=st.sampled_from(COURSES), viewer=st.sampled_from(VIEWERS), replica=either)
    def evict(self, course: str, viewer: str, replica: int) -> None:
        self.run(self.replicas[replica].presence.evict(course, viewer, ban_s=0))
        now = self.run(self.replicas[replica].now()) + self.passed
        self.model.at(now)
        self.model.evict(course, viewer, now)

    @rule(ms=st.sampled_from(SPANS))
    def time_passes(self, ms: int) -> None:
        self.run(self.replicas[0].pass_time(ms, self.replicas[1]))

    @rule(replica=either)
    def sweep(self, replica: int) -> None:
        self.run(self.replicas[replica].sweep())

    @rule()
    def all_comes_to_rest(self) -> None:
        """S8: once nothing is due, the last message is the truth."""
        self._everything_swept()

    @rule(course=st.sampled_from(COURSES), replica=either)
    def roster(self, course: str, replica: int) -> None:
        """S4, S7: who is shown, in which chapters, until when."""
        roster = self.run(self.replicas[replica].page(course))
        self.model.at(self.run(self.replicas[replica].now()) + self.passed)
        shown = {v.viewer_id: (v.chapters, v.expires_at + self.passed) for v in roster.viewers}
        assert len(shown) == len(roster.viewers)
        assert shown == self.model.named(course)

    @invariant()
    def counts_are_true(self) -> None:
        """S1, S2, S4, S7: counts equal the model's, swept or not."""
        for count in self.run(self.replicas[1].presence.counts(COURSES)):
            self.model.at(count.as_of + self.passed)
            total, anonymous, chapters = self.model.count(count.course_id)
            assert (count.total, count.anonymous, count.chapters) == (total, anonymous, chapters)
            assert count.named == total - anonymous
            self._version_grows(count)

    @invariant()
    def sets_agree_with_records(self) -> None:
        """S4, S12: every score is the largest lease behind it, and every key has an end."""
        assert self.run(audit(self.clients[0])) == []

    def _version_grows(self, count: Count) -> None:
        assert count.version >= self.versions[count.course_id]
        self.versions[count.course_id] = count.version


@pytest.mark.timeout(900)  # a failure takes minutes to shrink: cut short, nobody would learn what it was
@pytest.mark.parametrize("third", [1, 2, 3])  # of 300, so that parallel runs end together
def test_any_history_ends_as_the_model_says(redis_url: str, third: int) -> None:
    """S1-S8, S12: 100 random histories of 25 steps each, three times."""
    with asyncio.Runner() as runner:
        Machine.client = staticmethod(lambda: connect(redis_url, timeout_s=10))
        Machine.loop = runner.get_loop()
        _run(examples=100)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_any_history_on_a_cluster() -> None:
    """S15: S1-S8 and S12 hold unchanged there; 60 random histories over two partitions of three masters."""
    with cluster() as servers, asyncio.Runner() as runner:
        backend = ClusterBackend(servers)
        runner.run(backend.__aenter__())
        Machine.client = staticmethod(backend.client)
        Machine.loop = runner.get_loop()
        _run(examples=60)
        runner.run(backend.__aexit__())


def _run(*, examples: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

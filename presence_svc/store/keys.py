"""The Redis data model: every key that exists, who may read it, and why it has this shape.

All keys of a course carry its id as hash tag, or its partition's, so that one script call stays in one
Cluster slot, and every key that a script touches is passed as KEYS. `P` is the prefix, `C` a course, `V` a
viewer, `S` a session. Scores and times are whole milliseconds since 1970 by Redis's clock.

    P:{C}:viewers    zset  V by the end of their last lease                       (public contract)
    P:{C}:viewer:V   hash  name, avatar_url, joined_at and one field per session  (public contract);
                           hidden_name, hidden_avatar_url while a session is anonymous
                           s:S = "lease seq place flags digest chapter"
    P:{C}:places     zset  "place V" by place * 2^42 + end of V's last lease there
                           "0<day> V" by when they came: to be counted among the day's distinct viewers
    P:{C}:chapters   hash  chapter -> place, a small number (1, 2, ...)
    P:{C}:anonymous  zset  V by the end of their last anonymous lease
    P:{C}:state      hash  version, published (when the last message went out) and told (the total in it),
                           dirty (when one is due); and the books of history: lua/shared/history, minutes
    P:{C}:left:V     hash  S -> "!" (left for good), or the seq by which it left softly or became another
                           viewer's (an anonymous session that signs in); outlives late packets;
                           and "!" -> until when V is evicted (ms)
    P:agenda:0       zset  C by when somebody must look at it: first lease end, or a message due
    P:since          str   since when heartbeats have been heard without a gap (rule S11)
    P:secret         str   the key that leave tokens are made with, common to all replicas
    P:{C}:changes    the channel: one message per change, each the whole truth
    P:{C}:minutes:H  str   a line for each closed minute of hour H: "minute peak area number";
                           area = viewer ms; "!" behind it = a part is unknown
    P:{C}:quarters:D hash  quarter of day D (0-95) -> "peak area"; "quarter.number" for a chapter
    P:{C}:days:B     hash  day of block B, of 365 days -> "peak area"; "day.number"; "day.u" -> unique viewers
    P:{C}:uniques:D  HLL   V of day D (UNIQUES=exact: set)
    P:{C}:numbers    hash  chapter -> its number in history, never given to another
    P:seen:0         zset  C by when its history was last written
    P:closed:Q       str   a line for each quarter that was closed in quarter Q: "C quarter ms", ms = how late
    P:heard:0        hash  first, last: since when and until when history has been kept; pulse: see since.lua
    P:gaps:0         list  "from to": when nobody did, and so nobody heard heartbeats
    P:where          hash  V -> the courses that they are in (PEOPLE)
    P:bus:D          a channel without messages, which keeps a reader's connection subscribed and says that
                     somebody works in database D: channels know no databases, so that one prefix is in one
    P:{check}:*      scratch keys of check.lua, and P:bus:check its channel: gone when it ends

On a Cluster a course is in one of PARTITIONS partitions (redis/cluster/slots.py), each with a tag T, and all
keys of a partition are in one slot. `P:{C}:viewers` is `P:{T}:C:viewers` there, and so with every key of a
course and its channel; further:

    P:{T}:agenda     as P:agenda:0, for the courses of this partition
    P:{T}:since      as P:since, for this partition: a master that comes back empty warms its own
    P:{T}:where, P:{T}:heard, P:{T}:gaps, P:{T}:seen, P:{T}:closed:Q   likewise
    P:{T}:nothing    never exists: a script that names it cannot run while the slot is moved key by key, as
                     heartbeats cannot, and so does not say that they were heard
    P:partitions     str   how many partitions there are; another number would look for courses elsewhere

So a script call takes many courses of a partition, with their agenda, and stays atomic. Refused: a slot per
course (a call per course, and agendas that must be registered before they can be swept).

Why sorted sets by expiry: a count is ZCOUNT from now on, O(log n) and exact with no sweeper alive (S4);
there is no counter that could drift. Why one zset for all chapters and not one each: leaving a chapter
must remove the viewer from where they were, and only the session's own record knows where that was. A
key built inside Lua would break the Cluster rule, so the chapter is a number in the score instead, and
a chapter's count is ZCOUNT over its stretch of scores: 2^42 ms reach to the year 2109, and 2^53 (what a
double holds exactly) leaves room for 2,047 chapters at once. Why a lease in the session's record as well
as in the scores: a viewer's score is the largest lease of their sessions, and when one leaves, what is
left must be known. Why a digest: one HGET then tells that nothing but the lease has changed.

History counts hours, days and so on from 1970, in UTC. Each tier is written when a minute is closed: a read
adds up nothing that is long past, and a tier may be lost without the others.

Refused: a counter per course (drifts when a replica dies between two commands); keyspace notifications
(late, lossy, one per key); hash-field expiry (not in Redis 7.0); a key per session (350 bytes each).

Every key is mortal (S12): a viewer's hash dies with the lease, `left:V` a TTL after the leave, the course's
sets once their longest lease is well over, `state` a day after the last change, history after HISTORY_*. The
agenda and `where` empty themselves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Self

from ..settings import Settings
from .history.keys import HistoryKeys
from .redis.cluster.slots import SLOTS, Partition, partition_keys, slot_of_tag, tags
from .redis.resp import pack

__all__ = ["CourseKeys", "Keys", "Partition"]

COURSES_CACHED = 10_000


class CourseKeys(NamedTuple):
    """The keys that every script about a course takes, in this order."""

    viewers: str
    places: str
    chapters: str
    anonymous: str
    state: str


class Keys(HistoryKeys):
    """Builds key names; the only place where a hash tag is written.

    `partitions` of a Cluster, 0 = one server: it has a single partition with the names above.
    """

    def __init__(self, prefix: str, partitions: int = 0) -> None:
        self.prefix = prefix
        self.secret = f"{prefix}:secret"
        self.bus = f"{prefix}:bus"
        self.agreed = f"{prefix}:partitions"
        self.every_channel = f"{prefix}:*:changes"
        self.is_partitioned = partitions > 0
        self._width = SLOTS // (partitions or 1)
        self.partitions = self._partitions(partitions)
        self.course = lru_cache(COURSES_CACHED)(self._course)
        self.packed_course = lru_cache(COURSES_CACHED)(self._packed_course)
        self.partition_of = lru_cache(COURSES_CACHED)(self._partition_of)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The names that these settings ask for."""
        is_cluster = settings.redis_kind == "cluster"
        return cls(settings.key_prefix, settings.partitions if is_cluster else 0)

    def _partitions(self, many: int) -> tuple[Partition, ...]:
        if not many:
            return (partition_keys(0, f"{self.prefix}:", f"{self.prefix}:agenda:0"),)
        bases = [f"{self.prefix}:{{{tag}}}:" for tag in tags(many)]
        return tuple(partition_keys(number, base, f"{base}agenda") for number, base in enumerate(bases))

    def _partition_of(self, course_id: str) -> Partition:
        if not self.is_partitioned:
            return self.partitions[0]
        return self.partitions[slot_of_tag(course_id.encode()) // self._width]

    def _base(self, course_id: str) -> str:
        """What every name of this course begins with."""
        if self.is_partitioned:
            return f"{self.partition_of(course_id).base}{course_id}:"
        return f"{self.prefix}:{{{course_id}}}:"

    def _course(self, course_id: str) -> CourseKeys:
        base = self._base(course_id)
        return CourseKeys(
            f"{base}viewers", f"{base}places", f"{base}chapters", f"{base}anonymous", f"{base}state"
        )

    def _packed_course(self, course_id: str) -> bytes:
        return pack(*self.course(course_id))

    def viewer(self, course_id: str, viewer_id: str) -> str:
        return f"{self._base(course_id)}viewer:{viewer_id}"

    def left(self, course_id: str, viewer_id: str) -> str:
        return f"{self._base(course_id)}left:{viewer_id}"

    def channel(self, course_id: str) -> str:
        return f"{self._base(course_id)}changes"

    def check(self, partition: Partition) -> tuple[str, ...]:
        """Keys that hold nothing for longer than a script runs: to see what we may do."""
        base = f"{partition.base}check" if self.is_partitioned else f"{self.prefix}:{{check}}"
        return tuple(f"{base}:{kind}" for kind in ("hash", "zset", "string"))

    def check_channel(self, partition: Partition) -> str:
        return f"{partition.base}check" if self.is_partitioned else f"{self.bus}:check"

    def names(self, course_id: str, viewer_id: str) -> dict[str, str]:
        """Every key of a course, those of one viewer among them, by what it is."""
        partition = self.partition_of(course_id)
        return self.course(course_id)._asdict() | {
            "viewer": self.viewer(course_id, viewer_id),
            "left": self.left(course_id, viewer_id),
            "agenda": partition.agenda,
            "since": partition.since,
        }

    def course_of(self, name: str, ending: str = "changes") -> str:
        """The course that a channel's message is about, or that a key with this ending belongs to."""
        tag, _, rest = name[len(self.prefix) + 2 : -len(ending) - 1].partition("}")
        return rest[1:] if self.is_partitioned else tag

    def viewer_of(self, key: str) -> tuple[str, str]:
        """The course and the viewer that a viewer's hash is of. Ids may hold what stands between them."""
        tag, _, rest = key[len(self.prefix) + 2 :].partition("}")
        if not self.is_partitioned:
            return tag, rest.removeprefix(":viewer:")
        at = rest.find(":viewer:", 2)
        while self.partition_of(rest[1:at]).tag != tag and (later := rest.find(":viewer:", at + 1)) > 0:
            at = later
        return rest[1:at], rest[at + len(":viewer:") :]

    def pattern(self, ending: str) -> str:
        """Fits every key of a course that ends so."""
        return f"{self.prefix}:{{*}}:*:{ending}" if self.is_partitioned else f"{self.prefix}:{{*}}:{ending}"

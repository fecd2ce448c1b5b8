"""The Redis data model: every key, who may read it, and why it has this shape.

All keys of a course have its id as hash tag, or its partition's tag, so that one script call stays in one
Cluster slot, and every key that a script touches is passed in KEYS. `P` is the prefix, `C` a course, `V` a
viewer, `S` a session. Scores and times are integers: milliseconds since 1970 by Redis's clock.

    P:{C}:viewers    zset  V, scored by the end of their last lease               (public contract)
    P:{C}:viewer:V   hash  name, avatar_url, joined_at and one field per session  (public contract);
                           hidden_name, hidden_avatar_url while a session is anonymous
                           s:S = "lease seq place flags digest chapter"
    P:{C}:places     zset  "place V", scored by place * 2^42 + the end of V's last lease in that chapter;
                           "0<day> V", scored by when V joined: to be counted among the day's distinct viewers
    P:{C}:chapters   hash  chapter -> place: the small number (1, 2, ...) of an occupied chapter, which may
                           go to another chapter once it is empty
    P:{C}:anonymous  zset  V, scored by the end of their last anonymous lease
    P:{C}:state      hash  version, published (when the last message was sent), told (the total in it),
                           dirty (when a message is due); events of open minutes: lua/shared/history, minutes
    P:{C}:left:V     hash  S -> "!" (left for good), or the seq of a soft leave or of a take-over (an
                           anonymous session that signed in); kept for longer than packets can be late;
                           and "!" -> until when V is banned (ms)
    P:agenda:0       zset  C, scored by when it is due: a lease ends, a message is due or a quarter ends
    P:since          str   since when heartbeats have been recorded without a gap (rule S11)
    P:secret         str   the key from which leave tokens are made, common to all replicas
    P:{C}:changes    the channel: one message per change, each the complete state
    P:{C}:minutes:H  str   a line for each closed minute of hour H: "minute peak viewer_ms number"; "!" after
                           viewer_ms = a part is unknown; no number = the course itself
    P:{C}:quarters:D hash  quarter of day D (0-95) -> "peak viewer_ms"; "quarter.number" for a chapter
    P:{C}:days:B     hash  day of block B (365 days) -> "peak viewer_ms"; "day.number" for a chapter;
                           "day.u" -> distinct viewers
    P:{C}:uniques:D  HLL   the distinct viewers of day D (UNIQUES=exact: a set)
    P:{C}:numbers    hash  chapter -> its number in history, which never goes to another chapter
    P:seen:0         zset  C, scored by when its history was last written
    P:closed:Q       str   a line for each quarter that was closed in quarter Q: "C quarter ms", ms = how late
    P:heard:0        hash  first, last: since when and until when history has been kept; pulse: see since.lua
    P:gaps:0         list  "from to": times in which no replica ran or Redis was away
    P:where          hash  V -> the courses that they are in, which people are counted from (PEOPLE)
    P:bus:D          a channel without messages: it keeps a connection subscribed, and shows that this prefix
                     is in use in database D. Channels are common to all databases of a Redis, so that a
                     prefix may be used in only one of them
    P:{check}:*      scratch keys of check.lua, deleted when it ends; P:bus:check is its channel

On a Cluster a course is in one of PARTITIONS partitions (redis/cluster/slots.py), each with a tag T, and all
keys of a partition are in one slot. There, `P:{C}:viewers` is `P:{T}:C:viewers`, and likewise every other key
of a course and its channel. The keys above without a course are:

    P:{T}:agenda     as P:agenda:0, for the courses of this partition
    P:{T}:since      as P:since, for this partition: when one master comes back empty, only it is warming
    P:{T}:where, P:{T}:heard, P:{T}:gaps, P:{T}:seen, P:{T}:closed:Q   likewise
    P:{T}:nothing    never exists: a script that names it cannot run while the slot is migrated key by key.
                     Heartbeats cannot run then either, so that it never claims that they were recorded
    P:partitions     str   how many partitions there are; with another number, courses would not be found

So one script call takes many courses of a partition, with their agenda, and stays atomic. Rejected: a slot
per course (a call per course, and agendas that must be registered before they can be swept).

Why sorted sets by expiry: a count is a ZCOUNT from now on, O(log n), and exact without any sweeper (S4);
there is no counter that could drift. Why one zset for all chapters and not one each: a viewer who leaves a
chapter must be removed from its set, and only the session's record knows which chapter that is. A key built
inside Lua would break the Cluster rule. So the chapter is a number in the score instead, its place, and the
chapter's count is a ZCOUNT over the place's range of scores. 2^42 ms last until the year 2109, and 2^53 (up
to which doubles are exact) allows 2,047 places. Why leases in the sessions' records as well as in scores: a
viewer's score is the largest lease of their sessions, and when one session leaves, the largest of the others
must be known. Why a digest: one HGET is then enough to see that only the lease has changed.

History counts hours, days and so on from 1970, in UTC. Every tier is written when a minute is closed, so that
reads of the past add up little, and each tier can be lost without the others.

Rejected: a counter per course (drifts when a replica dies between two commands); keyspace notifications
(late, lossy, one per key); hash-field expiry (not in Redis 7.0); a key per session (350 bytes each).

Every key expires (S12): a viewer's hash with its lease, `left:V` a TTL after the leave, a course's sets once
their longest lease is well over, `state` a day after the last message (half an hour if nobody is left),
history after HISTORY_*. The agenda and `where` empty themselves.
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
    """Builds key names. No other code writes a hash tag.

    `partitions` is the number on a Cluster; 0 = one server, which has a single partition.
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
        """The names for these settings."""
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
        """The beginning of every name of this course."""
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
        """Scratch keys for check.lua, which deletes them before it ends."""
        base = f"{partition.base}check" if self.is_partitioned else f"{self.prefix}:{{check}}"
        return tuple(f"{base}:{kind}" for kind in ("hash", "zset", "string"))

    def check_channel(self, partition: Partition) -> str:
        return f"{partition.base}check" if self.is_partitioned else f"{self.bus}:check"

    def names(self, course_id: str, viewer_id: str) -> dict[str, str]:
        """The keys of a course, including those of one viewer, by what they are."""
        partition = self.partition_of(course_id)
        return self.course(course_id)._asdict() | {
            "viewer": self.viewer(course_id, viewer_id),
            "left": self.left(course_id, viewer_id),
            "agenda": partition.agenda,
            "since": partition.since,
        }

    def course_of(self, name: str, ending: str = "changes") -> str:
        """The course of a channel, or of a key with this ending."""
        tag, _, rest = name[len(self.prefix) + 2 : -len(ending) - 1].partition("}")
        return rest[1:] if self.is_partitioned else tag

    def viewer_of(self, key: str) -> tuple[str, str]:
        """The course and the viewer of a viewer's hash. Ids may themselves contain ":viewer:"."""
        tag, _, rest = key[len(self.prefix) + 2 :].partition("}")
        if not self.is_partitioned:
            return tag, rest.removeprefix(":viewer:")
        at = rest.find(":viewer:", 2)
        while self.partition_of(rest[1:at]).tag != tag and (later := rest.find(":viewer:", at + 1)) > 0:
            at = later
        return rest[1:at], rest[at + len(":viewer:") :]

    def pattern(self, ending: str) -> str:
        """A pattern for all keys of courses with this ending."""
        return f"{self.prefix}:{{*}}:*:{ending}" if self.is_partitioned else f"{self.prefix}:{{*}}:{ending}"

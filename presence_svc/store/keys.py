"""The Redis data model: every key that exists, who may read it, and why it has this shape.

All keys of a course carry its id as hash tag, so that one script call stays in one Cluster slot, and
every key that a script touches is passed as KEYS. `P` is the prefix, `C` a course, `V` a viewer, `S` a
session. Scores and times are whole milliseconds since 1970 by Redis's clock.

    P:{C}:viewers    zset  V by the end of their last lease                       (public contract)
    P:{C}:viewer:V   hash  name, avatar_url, joined_at and one field per session  (public contract);
                           hidden_name, hidden_avatar_url while a session is anonymous
                           s:S = "lease seq place flags digest chapter"
    P:{C}:places     zset  "place V" by place * 2^42 + end of V's last lease there
                           "0<day> V" by when they came: to be counted among the day's distinct viewers
    P:{C}:chapters   hash  chapter -> place, a small number (1, 2, ...)
    P:{C}:anonymous  zset  V by the end of their last anonymous lease
    P:{C}:state      hash  version, published (when the last message went out) and told (the total in it),
                           dirty (when one is due); and the books of history: lua/_history, lua/_minutes
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
    P:heard:0        hash  first, last: since when, and until when, history has been kept
    P:gaps:0         list  "from to": when nobody did, and so nobody heard heartbeats
    P:where          hash  V -> the courses that they are in (PEOPLE)
    P:bus:D          a channel without messages, which keeps a reader's connection subscribed and says that
                     somebody works in database D: channels know no databases, so that one prefix is in one
    P:{check}:*      scratch keys of check.lua, and P:bus:check its channel: gone when it ends

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
from typing import NamedTuple

from .redis.resp import pack

COURSES_CACHED = 10_000
MINUTES_A_DAY = 1_440
BLOCK = 365  # days in a hash


class CourseKeys(NamedTuple):
    """The keys that every script about a course takes, in this order."""

    viewers: str
    places: str
    chapters: str
    anonymous: str
    state: str


class TierKeys(NamedTuple):
    """The keys that a course's closed minutes go to, in the order in which sweep.lua takes them."""

    minutes: str
    quarters: str
    days: str
    uniques: str
    numbers: str
    seen: str
    closed: str


class Keys:
    """Builds key names; the only place where a hash tag is written."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.agenda = f"{prefix}:agenda:0"
        self.since = f"{prefix}:since"
        self.secret = f"{prefix}:secret"
        self.bus = f"{prefix}:bus"
        self.where = f"{prefix}:where"
        self.heard = f"{prefix}:heard:0"
        self.gaps = f"{prefix}:gaps:0"
        self.seen = f"{prefix}:seen:0"
        self.check = tuple(f"{prefix}:{{check}}:{kind}" for kind in ("hash", "zset", "string"))
        self.every_channel = f"{prefix}:*:changes"
        self.course = lru_cache(COURSES_CACHED)(self._course)
        self.packed_course = lru_cache(COURSES_CACHED)(self._packed_course)

    def _course(self, course_id: str) -> CourseKeys:
        base = f"{self.prefix}:{{{course_id}}}:"
        return CourseKeys(
            f"{base}viewers", f"{base}places", f"{base}chapters", f"{base}anonymous", f"{base}state"
        )

    def _packed_course(self, course_id: str) -> bytes:
        return pack(*self.course(course_id))

    def viewer(self, course_id: str, viewer_id: str) -> str:
        return f"{self.prefix}:{{{course_id}}}:viewer:{viewer_id}"

    def left(self, course_id: str, viewer_id: str) -> str:
        return f"{self.prefix}:{{{course_id}}}:left:{viewer_id}"

    def minutes(self, course_id: str, hour: int) -> str:
        return f"{self.prefix}:{{{course_id}}}:minutes:{hour}"

    def quarters(self, course_id: str, day: int) -> str:
        return f"{self.prefix}:{{{course_id}}}:quarters:{day}"

    def days(self, course_id: str, block: int) -> str:
        return f"{self.prefix}:{{{course_id}}}:days:{block}"

    def uniques(self, course_id: str, day: int) -> str:
        return f"{self.prefix}:{{{course_id}}}:uniques:{day}"

    def numbers(self, course_id: str) -> str:
        return f"{self.prefix}:{{{course_id}}}:numbers"

    def closed(self, quarter: int) -> str:
        return f"{self.prefix}:closed:{quarter}"

    def tiers(self, course_id: str, minute: int, closing: int) -> TierKeys:
        """Where this minute goes, when it is closed in the quarter `closing`."""
        day = minute // MINUTES_A_DAY
        return TierKeys(
            self.minutes(course_id, minute // 60),
            self.quarters(course_id, day),
            self.days(course_id, day // BLOCK),
            self.uniques(course_id, day),
            self.numbers(course_id),
            self.seen,
            self.closed(closing),
        )

    def channel(self, course_id: str) -> str:
        return f"{self.prefix}:{{{course_id}}}:changes"

    def course_of(self, channel: str) -> str:
        """The course that a channel's message is about."""
        return channel[len(self.prefix) + 2 : -len("}:changes")]

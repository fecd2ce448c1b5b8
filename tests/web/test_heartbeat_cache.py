"""The memory of heartbeats: what is remembered means what a fresh reading would mean (S6, section 9)."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc import jwk, jwt

from presence_svc.model import MAX_SAFE_INT
from presence_svc.store.redis.resp import pack_int
from presence_svc.web.heartbeat_cache import LONGEST, split_seq
from tests.web.handler import FEW_AND_MANY, HandlerRig, Meaning, holds_for

COURSE = "c1"
PLAIN = b'{"viewer_id":"u1","chapter_id":"ch-1","seq":7}'


# Every way to write a seq, right and wrong, with the blanks and the neighbours that it may have.
NUMBERS = st.one_of(
    st.integers(0, 99).map(lambda n: b"%d" % n),
    st.integers(0, MAX_SAFE_INT + 9).map(lambda n: b"%d" % n),
    st.sampled_from(
        [
            b"007", b"-0", b"-1", b"5.0", b"5e0", b"5.5", b"1e2", b"+5", b"NaN", b"Infinity", b"null",
            b"true", b'"5"', b"[5]", b'{"seq":5}', b"999999999999999", b"1000000000000000", b"9007199254740991",  # noqa: E501
            b"9007199254740992", b"10000000000000000000000", b"", b"5 6",
        ]
    ),
)  # fmt: skip
SEQ_KEYS = st.sampled_from(
    [b'"seq"'] * 6 + [b'"s\\u0065q"', b'"\\u0073eq"', b'"Seq"', b'"seq "', b'"se\\u0071"']
)
BLANKS = st.sampled_from([b""] * 8 + [b" ", b"  ", b"\n", b"\t", b"\r\n", b"\x0b", b"\x00", b"\xc2\xa0"])
SEQ_PAIRS = st.tuples(SEQ_KEYS, BLANKS, st.just(b":"), BLANKS, NUMBERS, BLANKS).map(b"".join)
OTHER_PAIRS = st.sampled_from(
    [
        b'"viewer_id":"u1"', b'"viewer_id":"u2"', b'"session_id":"seq"', b'"chapter_id":"ch-1"',
        b'"hidden":true', b'"anonymous":true', b'"name":"Ada"', b'"name":"seq"', b'"name":"\\"seq\\":5,"',
        b'"name":"x\\",\\"seq\\":5}"',
        b'"name":"\xc3\x85sa \xf0\x9f\x91\x81"', b'"name":"\xff"', b'"name":"\\ud800"', b'"name":"\\u0000"',
        b'"name":"a\x00b"', b'"avatar_url":"https://x.example/seq"', b'"x":{"seq":5}', b'"x":{"seq":5,"y":1}',
        b'"x":[{"seq":5}]', b'"x":{"y":{"seq":6}}', b'"x":"seq"', b'"x":NaN', b'"":5', b'"x":"\\"seq\\":4}"',
    ]
)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A JSON object with a viewer more often than not, and a seq or several or none, somewhere."""
    pairs = draw(st.lists(st.one_of(SEQ_PAIRS, OTHER_PAIRS), max_size=3))
    if draw(st.integers(0, 5)):
        pairs.insert(0, b'"viewer_id":"u1"')
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    return b"{" + b",".join(pairs) + b"}" + draw(st.sampled_from([b""] * 6 + [b" ", b",", b"}", b"\x00"]))


@st.composite
def neighbours(draw: st.DrawFn) -> list[bytes]:
    """Bodies that a careless memory could take for one another: equal but for a number, and repeated."""
    first = draw(bodies())
    at = [i for i in range(len(first)) if first[i : i + 1].isdigit()] or [0]
    found = [first]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.sampled_from(at))
        found.append(first[:start] + draw(NUMBERS) + first[start + 1 :])
    return [*found, *found]


ALWAYS = [
    [b'{"viewer_id":"u1","seq" :5}'] * 2,
    [b'{"viewer_id":"u1","seq":5.0}'] * 2,
    [b'{"viewer_id":"u1","seq":9007199254740991}'] * 2,
    [b'{"viewer_id":"u1","x":{"seq":5}}', b'{"viewer_id":"u1","x":{"seq":6}}'],
    [b'{"viewer_id":"u1","seq":1,"seq":2}', b'{"viewer_id":"u1","seq":3,"seq":2}'],
    [b'{"viewer_id":"u1","seq":1,"s\\u0065q":2}', b'{"viewer_id":"u1","seq":3,"s\\u0065q":2}'],
    [b'{"viewer_id":"u1","name":"\\"seq\\":5,"}', b'{"viewer_id":"u1","name":"\\"seq\\":6,"}'],
]


@FEW_AND_MANY
def test_what_is_remembered_means_what_a_fresh_reading_means(examples: int) -> None:
    """S6: whatever was said before, a body comes to the same as if it were the first, seq included."""

    def check(contents: list[bytes]) -> None:
        rig = HandlerRig()
        for content in contents:
            assert rig.heard(content) == rig.read_afresh(content)

    holds_for(check, neighbours(), examples, *ALWAYS)


@given(st.lists(st.integers(0, MAX_SAFE_INT), min_size=1, max_size=20))
@hypothesis_settings(max_examples=100, deadline=None)
def test_a_session_that_counts_on_is_remembered_once(seqs: list[int]) -> None:
    """One entry serves every seq of up to 15 digits; each travels as it was sent."""
    rig = HandlerRig()

    for seq in seqs:
        heard = rig.heard(PLAIN.replace(b"7", b"%d" % seq))
        assert isinstance(heard, Meaning)
        assert heard.seq == pack_int(seq)

    assert len(rig.remembered) == (1 if min(seqs) < 10**15 else 0)


@pytest.mark.parametrize(
    "content",
    [
        b'{"viewer_id":"u1","seq" :5}',
        b'{"viewer_id":"u1","seq":5 }',
        b'{"viewer_id":"u1","seq":\n5}',
        b'{"viewer_id":"u1","seq":5.0}',
        b'{"viewer_id":"u1","seq":9007199254740991}',
        b'{"viewer_id":"u1","s\\u0065q":5}',
        b'{"viewer_id":"u1","seq":5,"seq":6}',
        b'{"viewer_id":"u1","seq":5,"s\\u0065q":6}',
        b'{"viewer_id":"u1","x":{"seq":5}}',
        b'{"viewer_id":"u1","x":{"seq":5},"seq":5}',
        b'{"viewer_id":"u1","name":"seq","seq":5}',
        b'{"viewer_id":"u1","name":"\\"seq\\":5,","seq":5}',
    ],
)
def test_a_seq_that_is_not_certain_is_not_remembered(content: bytes) -> None:
    """Where the digits that were cut out may not be the seq, every body is read anew."""
    rig = HandlerRig()

    assert rig.heard(content) == rig.read_afresh(content)
    assert len(rig.remembered) == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"viewer_id":"u1","seq":7',
        b'{"viewer_id":"u 1","seq":7}',
        b'{"seq":7}',
        b'{"viewer_id":1}',
    ],
)
def test_what_was_refused_is_not_remembered(content: bytes) -> None:
    """A refusal is told again, in the same words."""
    rig = HandlerRig()

    assert rig.heard(content) == rig.heard(content) == rig.read_afresh(content)
    assert len(rig.remembered) == 0


def test_another_secret_makes_other_leave_tokens() -> None:
    """What was remembered under the old secret would hand out tokens that nobody takes."""
    rig = HandlerRig()
    before = rig.heard(PLAIN)

    rig.shared.secret = b"t" * 32
    after = rig.heard(PLAIN)

    assert before != after
    assert after == rig.read_afresh(PLAIN)
    assert len(rig.remembered) == 1


def test_before_the_secret_is_known_a_heartbeat_is_told_to_come_back() -> None:
    """S10: a leave token of this replica alone would be one that no other takes; nothing is remembered."""
    rig = HandlerRig()
    rig.shared.secret = b""

    refusals = [rig.heard(PLAIN), rig.heard(PLAIN)]
    forgotten = len(rig.remembered)
    rig.shared.secret = b"s" * 32

    assert [refused[0] for refused in refusals] == [503, 503]
    assert forgotten == 0
    assert rig.heard(PLAIN) == rig.read_afresh(PLAIN)


def test_the_room_is_bounded_and_the_oldest_go_first() -> None:
    """HEARTBEAT_CACHE_LIMIT sessions are remembered, and saying the same again takes no further room."""
    rig = HandlerRig(heartbeat_cache_limit=3)
    said = [PLAIN.replace(b"u1", b"u%d" % i) for i in range(5)]

    for content in said:
        rig.heard(content)
        rig.heard(content)

    assert list(rig.remembered) == [split_seq(b"", COURSE, body)[0] for body in said[2:]]


def test_a_heartbeat_that_is_remembered_anew_pushes_nobody_out() -> None:
    """A renewed token's verdict replaces what was remembered under it: that takes no further room."""
    rig = HandlerRig(heartbeat_cache_limit=2)
    keys = [split_seq(b"", COURSE, PLAIN.replace(b"u1", b"u%d" % i))[0] for i in range(2)]
    for i in range(2):
        rig.heard(PLAIN.replace(b"u1", b"u%d" % i))
    cached = rig.remembered[keys[1]]

    rig.remembered.remember(keys[1], PLAIN, cached)

    assert list(rig.remembered) == keys


def test_what_is_large_is_not_remembered() -> None:
    """A hundred thousand bodies of 8 KiB would be a gigabyte."""
    rig = HandlerRig()
    content = PLAIN[:-1] + b',"x":"' + b"x" * LONGEST + b'"}'

    assert rig.heard(content) == rig.read_afresh(content)
    assert len(rig.remembered) == 0


def test_the_longest_honest_heartbeat_is_remembered() -> None:
    """Every field at its limit, with a token of a usual size."""
    rig = HandlerRig()
    ids = b'"viewer_id":"%b","session_id":"%b","chapter_id":"%b"' % ((b"i" * 128,) * 3)
    name = b'"name":"%b"' % ("\N{EYE}" * 80).encode()
    avatar = b'"avatar_url":"https://x.example/%b"' % (b"a" * 490)
    content = b'{%b,%b,%b,"anonymous":false,"hidden":true,"seq":123456789012345}' % (ids, name, avatar)

    rig.heard(content, b"Bearer " + b"t" * 1_200)

    assert len(rig.remembered) == 1


SECRET = "a secret of thirty-two bytes, or more"


def bearer(clock_s: float = 0, **claims: Any) -> bytes:
    """A token of SECRET's, good for five minutes more than `clock_s` from now."""
    said = {"sub": "u1", "exp": time.time() + 300 + clock_s, **claims}
    return b"Bearer " + jwt.encode({"alg": "HS256"}, said, jwk.OctKey.import_key(SECRET)).encode()


def test_credentials_are_looked_at_every_time() -> None:
    """H5: what a token has said is no credit for another token, a spoilt one, or none."""
    rig = HandlerRig(auth="jwt", jwt_secret=SECRET)
    good = bearer()
    remembered = rig.heard(PLAIN, good)

    assert rig.heard(PLAIN, good) == remembered
    assert rig.heard(PLAIN, bearer(sub="u2")) == (403, "the token is another viewer's")
    assert cast(Any, rig.heard(PLAIN, good[:-2] + b"AA"))[0] == 401
    assert cast(Any, rig.heard(PLAIN))[0] == 401
    assert len(rig.remembered) == 1


def test_a_token_that_has_expired_is_refused_though_it_was_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """H6: the cache holds no verdict; that of the token ends with the token."""
    rig = HandlerRig(auth="jwt", jwt_secret=SECRET)
    tokens = rig.handler.service.admission.tokens
    assert tokens is not None
    token = bearer()
    assert isinstance(rig.heard(PLAIN, token), Meaning)

    monkeypatch.setattr(tokens, "_clock", lambda: time.time() + 400)
    monkeypatch.setattr(tokens, "_elapsed", lambda: time.monotonic() + 400)

    assert rig.heard(PLAIN, token) == (401, "the token has expired")


def test_limits_are_counted_for_what_is_remembered() -> None:
    """H7: the heartbeat beyond a session's burst gets 429, whether its like was read before or not."""
    rig = HandlerRig(auth="jwt", jwt_secret=SECRET, beat_burst=3, beat_rate=0.05)
    token = bearer()

    heard = [rig.heard(PLAIN, token) for _ in range(5)]

    assert [isinstance(one, Meaning) for one in heard] == [True, True, True, False, False]
    assert cast(Any, heard[4])[0] == 429


def kept_in(rig: HandlerRig) -> str:
    """All that the cache keeps, as text."""
    entries = [[getattr(cached, slot) for slot in cached.__slots__] for cached in rig.remembered.values()]
    return repr([list(rig.remembered), entries])


def test_no_token_is_kept() -> None:
    """Neither as a key nor in what is kept under it, whole or in parts."""
    rig = HandlerRig(auth="jwt", jwt_secret=SECRET)
    token = bearer()
    rig.heard(PLAIN, token)

    assert len(rig.remembered) == 1
    assert not any(part.decode() in kept_in(rig) for part in token.split(b" ")[1].split(b"."))


def test_who_renews_tokens_takes_one_place() -> None:
    """A token lives for a minute with some issuers: what came with the last is not said again."""
    rig = HandlerRig(auth="jwt", jwt_secret=SECRET, beat_burst=200)
    others = [b'{"viewer_id":"%b"}' % name for name in (b"u2", b"u3")]
    for content in others:
        rig.heard(content, bearer(sub=content[14:16].decode()))
    for number in range(50):
        assert isinstance(rig.heard(PLAIN, bearer(jti=number)), Meaning)

    assert len(rig.remembered) == 3


def test_who_says_something_else_takes_one_place() -> None:
    """A session that has moved on through many chapters is remembered by the last."""
    rig = HandlerRig()
    for chapter in range(50):
        rig.heard(PLAIN.replace(b"ch-1", b"ch-%d" % chapter))

    assert [key[2] for key in rig.remembered] == [b'{"viewer_id":"u1","chapter_id":"ch-49","seq":']


def test_viewers_who_say_the_same_are_all_remembered() -> None:
    """Bodies may name nobody: then tokens alone tell them apart."""
    rig = HandlerRig(auth="jwt", jwt_secret=SECRET)
    tokens = [bearer(sub=f"u{number}") for number in range(3)]
    for token in tokens * 2:
        assert isinstance(rig.heard(b"{}", token), Meaning)

    assert len(rig.remembered) == 3


def test_credentials_mean_nothing_where_nobody_asks() -> None:
    """AUTH=trusted: whatever a client sends along, the heartbeat is the same one."""
    rig = HandlerRig()
    for authorization in (None, b"Bearer x", b"Basic y"):
        assert rig.heard(PLAIN, authorization) == rig.read_afresh(PLAIN)

    assert len(rig.remembered) == 1


def test_a_renewed_token_brings_its_new_name() -> None:
    """The name is the token's: a body that was read under the old one is read anew under the new."""
    rig = HandlerRig(auth="jwt", jwt_secret=SECRET)

    old, new = (cast(Meaning, rig.heard(PLAIN, bearer(name=name))) for name in ("Ada", "Ada L."))

    assert b"Ada\r\n" in old.tail
    assert b"Ada L.\r\n" in new.tail


def _largest(n: int) -> bytes:
    """As much as a body may say and still be remembered."""
    said = dict.fromkeys(("viewer_id", "session_id", "chapter_id"), f"{n:0128}")
    said |= {"name": "\u00e9" * 80, "avatar_url": f"https://x.example/{n:0490}"}
    start = json.dumps({**said, "seq": n}, ensure_ascii=False)[:-1] + ',"more":"'
    return f'{start:x<{LONGEST - 100}}"}}'.encode()


@pytest.mark.parametrize(
    ("body", "low", "high"),
    [
        (
            lambda n: (
                b'{"viewer_id":"user-%08d","session_id":"%032x","chapter_id":"ch-1","seq":%d}' % (n, n, n)
            ),
            1,
            3,
        ),
        (_largest, 6, 8),
    ],
    ids=["typical", "largest"],
)
def test_what_is_remembered_costs_what_the_settings_say(
    body: Callable[[int], bytes], low: int, high: int
) -> None:
    """HEARTBEAT_CACHE_LIMIT: 2 KB for what players say, up to 8 KB for the most that they may."""
    many, rig = 500, HandlerRig()
    rig.heard(body(0))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for n in range(1, many + 1):
            rig.heard(body(n))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(rig.remembered) == many + 1
    assert low * 1024 < (after - before) / many < high * 1024

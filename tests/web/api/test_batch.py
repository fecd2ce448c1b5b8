"""Many heartbeats in one body: what is remembered of each means what a fresh reading would mean (S6)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import strategies as st

from presence_svc.auth.subject import named
from presence_svc.errors import Invalid, PresenceError
from presence_svc.metrics import Metrics
from presence_svc.model import MAX_SAFE_INT, CourseHeartbeat
from presence_svc.store.redis.resp import pack_int
from presence_svc.store.write import HeartbeatWrite
from presence_svc.web import body
from presence_svc.web.api import batch
from presence_svc.web.heartbeat_cache import LONGEST
from presence_svc.web.problems import problem
from tests.web.handler import FEW_AND_MANY, HandlerRig, Meaning, holds_for, meaning

Told = Meaning | dict[str, Any]
ADA = b'{"course_id":"c1","viewer_id":"ada","chapter_id":"ch-1","seq":7}'
BOB = b'{"course_id":"c2","viewer_id":"bob"}'


METRICS = Metrics()


def wrapped(*items: bytes, between: bytes = b",") -> bytes:
    """A call's body as most clients write it."""
    return b'{"heartbeats":[' + between.join(items) + b"]}"


def heard(rig: HandlerRig, content: bytes) -> list[Told] | dict[str, Any]:
    """What comes of each item, or of the whole call."""
    try:
        readings = batch.read(rig.handler, content)
    except PresenceError as error:
        return problem(error)
    return [meaning(*one) if isinstance(one, tuple) else problem(one) for one in readings]


def read_afresh(rig: HandlerRig, content: bytes) -> list[Told] | dict[str, Any]:
    """The same, by a reading that takes the body apart by its JSON alone and remembers nothing."""
    try:
        items = body.parse(content, METRICS).get("heartbeats")
        if not isinstance(items, list) or not 1 <= len(items) <= 1_000:
            raise Invalid([("/heartbeats", "must be a list of 1 to 1000 heartbeats")])
    except PresenceError as error:
        return problem(error)
    return [_item_afresh(rig, item, index) for index, item in enumerate(items)]


def _item_afresh(rig: HandlerRig, item: Any, index: int) -> Told:
    try:
        said = body.validate(CourseHeartbeat, item, "heartbeats", index)
        write = HeartbeatWrite(said.course_id, named(said, "heartbeats", index), said)
    except PresenceError as error:
        return problem(error)
    return meaning(rig.handler.prepare(write), write.seq)


# Every way to write a pair that matters, right and wrong; texts that a careless cut would take for others.
NUMBERS = st.one_of(
    st.integers(0, 12).map(lambda n: b"%d" % n),
    st.integers(0, MAX_SAFE_INT + 9).map(lambda n: b"%d" % n),
    st.sampled_from(
        [
            b"007", b"-0", b"-1", b"5.0", b"5e0", b"5.5", b"+5", b"NaN", b"null", b"true", b'"5"', b"[5]",
            b"5 ", b'{"seq":5}', b"999999999999999", b"1000000000000000", b"9007199254740992", b"", b"5 6",
            b"\xd9\xa3",
        ]
    ),
)  # fmt: skip
NAMES = st.sampled_from(
    [b'"seq":'] * 8 + [b'"seq": ', b'"seq" :', b'"seq":\n', b'"s\\u0065q":', b'"Seq":', b'"seq":"x","seq":']
)
SEQ_PAIRS = st.tuples(NAMES, NUMBERS).map(b"".join)
OTHER_PAIRS = st.sampled_from(
    [
        b'"chapter_id":"ch-1"', b'"session_id":"seq"', b'"hidden":true', b'"hidden":1', b'"hidden":1.0',
        b'"hidden":false', b'"hidden":0', b'"anonymous":true', b'"anonymous":"true"', b'"name":"Ada"',
        b'"name":7', b'"name":"\\"seq\\":5,"', b'"name":"},{"', b'"name":"}, {"', b'"name":"}]}"',
        b'"name":"\xc3\x85sa"', b'"name":"\\u00c5sa"', b'"name":"\xff"', b'"name":"\\ud800"',
        b'"viewer_id":"bob"', b'"course_id":"c 1"', b'"x":{"seq":5}',
        b'"x":{"seq":5,"y":1}', b'"x":[{"seq":5},{"seq":6}]', b'"x":[{"y":1},{"seq":6}]',
        b'"x":[{},{}]', b'"x":1}],"heartbeats":[{"y":1', b'"x":1}],"y":[{"z":1', b'"x":1} , {"y":1',
    ]
)  # fmt: skip
JUNK = st.sampled_from(
    [b"{}", b"[]", b"null", b'"x"', b"7", b"{", b"}", b"", b"{{}}", b"[{}]", b'{"seq":5}', b"5"]
)


@st.composite
def items(draw: st.DrawFn) -> bytes:
    """An item's text: a heartbeat more often than not."""
    if not draw(st.integers(0, 9)):
        return draw(JUNK)
    pairs = [b'"course_id":"c1"', b'"viewer_id":"ada"'] if draw(st.integers(0, 9)) else []
    pairs += draw(st.lists(st.one_of(SEQ_PAIRS, OTHER_PAIRS), max_size=3))
    if not draw(st.integers(0, 3)):
        pairs = draw(st.permutations(pairs))
    between = draw(st.sampled_from([b","] * 6 + [b", "]))
    return b"{" + between.join(pairs) + b"}"


@st.composite
def calls(draw: st.DrawFn) -> bytes:
    """A body with some items, framed as clients do and as only a foe would."""
    between = draw(st.sampled_from([b","] * 8 + [b", ", b" ,", b",\n", b",,"]))
    inside = between.join(draw(st.lists(items(), max_size=4)))
    start = draw(
        st.sampled_from([b'{"heartbeats":['] * 8 + [b'{"heartbeats": ['] * 3 + [b'{"x":1,"heartbeats":['])
    )
    end = draw(st.sampled_from([b"]}"] * 12 + [b"] }", b"]}\n", b'],"x":[{}]}', b',{"x":1}]}', b"}]}", b"]"]))
    return start + inside + end


@st.composite
def neighbours(draw: st.DrawFn) -> list[bytes]:
    """Calls that a careless memory could take for one another: equal but for a number or a few bytes."""
    found = draw(st.lists(calls(), min_size=1, max_size=2))
    first = found[0]
    at = [i for i in range(len(first)) if first[i : i + 1].isdigit()] or [0]
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            start = draw(st.sampled_from(at))
            found.append(first[:start] + draw(NUMBERS) + first[start + 1 :])
        else:
            start = draw(st.integers(0, len(first)))
            found.append(first[:start] + first[start + draw(st.sampled_from([1, 2, 6, 7, 8, 14])) :])
    return [*found, *found]


ALWAYS = [
    [wrapped(ADA, BOB), wrapped(BOB, ADA.replace(b"7", b"07")), wrapped(ADA.replace(b"7", b"7.0"))],
    [
        wrapped(BOB[:-1] + b',"hidden":%b}' % flag)
        for flag in (b"true", b"1", b"1.0", b"true", b"false", b"0")
    ],
    [wrapped(ADA, between=b", "), b'{"heartbeats": [' + ADA.replace(b'"seq":', b'"seq": ') + b"]}"] * 2,
    [wrapped(BOB, b'{"x":[{"a":1},{"b":1}]}, {"y":1}'), wrapped(BOB, b'{"x":[' + BOB, BOB + b']}, {"y":1}')],
    [wrapped(ADA.replace(b"7", b"0")[:-1] + b',"seq" :1}')] * 2,
    [wrapped(ADA[:-1] + b',"seq" :8}'), wrapped(ADA.replace(b"7", b"9")[:-1] + b',"seq" :8}')],
    [wrapped(BOB[:-1] + b',"x":{"seq":5,"y":1}}'), wrapped(BOB[:-1] + b',"x":{"seq":6,"y":1}}')],
]


@FEW_AND_MANY
def test_what_is_remembered_means_what_a_fresh_reading_means(examples: int) -> None:
    """S6: whatever was said before, every item comes to the same as if it were the first, seq included."""

    def check(contents: list[bytes]) -> None:
        rig = HandlerRig()
        for content in contents:
            assert heard(rig, content) == read_afresh(rig, content)

    holds_for(check, neighbours(), examples, *ALWAYS)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    "course_id": st.sampled_from(["c1", "c2"]) | JSON,
    "viewer_id": st.sampled_from(["ada", "bob"]) | JSON,
    "seq": st.integers(0, 3) | st.sampled_from([0.0, 1.0, 2.5, True, "1"]) | JSON,
    "hidden": st.booleans() | st.sampled_from([0, 1, 1.0, "true"]),
    "name": st.sampled_from(["Ada", "Åsa", '"seq":5', "},{"]) | JSON,
    "x": JSON,
}


CALLS = st.lists(
    st.lists(st.fixed_dictionaries({}, optional=FIELDS) | JSON, min_size=1, max_size=4), max_size=4
)


@FEW_AND_MANY
def test_any_json_is_judged_as_the_model_judges_it(examples: int) -> None:
    """Whatever the types of the fields, warm or cold, compact or with blanks."""

    def check(said: list[list[Any]]) -> None:
        rig = HandlerRig()
        for items in [*said, *said]:
            compact = orjson.dumps({"heartbeats": items})
            for content in (compact, compact.replace(b",", b", ").replace(b":", b": ")):
                assert heard(rig, content) == read_afresh(rig, content)

    holds_for(check, CALLS, examples // 2)


SAID = b'{"course_id":"c1","viewer_id":"ada","name":"\\u00c5sa",'


@pytest.mark.parametrize("blank", [b"", b" "])
@pytest.mark.parametrize("rest", [b"}", b',"hidden":true}'])
def test_a_session_that_counts_on_is_remembered_once(rest: bytes, blank: bytes) -> None:
    """One entry serves every seq of up to 15 digits, wherever it stands; each travels as it was sent."""
    rig = HandlerRig()

    for seq in (1, 0, 7, 999_999_999_999_999):
        item = b'%b"seq":%d%b' % (SAID, seq, rest)
        content = wrapped(item).replace(b",", b"," + blank).replace(b":", b":" + blank)
        told = heard(rig, content)
        assert told == read_afresh(rig, content)
        assert isinstance(told, list)
        assert isinstance(told[0], Meaning)
        assert told[0].seq == pack_int(seq)

    assert len(rig.remembered) == 1


@pytest.mark.parametrize(
    "item",
    [
        ADA.replace(b"7", b"7.0"),
        ADA.replace(b"7", b"9007199254740991"),
        ADA.replace(b'"seq":', b'"seq" :'),
        ADA.replace(b"seq", b"s\\u0065q"),
        ADA[:-1] + b',"seq" :8}',
        BOB[:-1] + b',"x":{"seq":5,"y":1}}',
        BOB[:-1] + b',"name":"' + b"\xc3\x85" * 90 + b'"}',
        BOB[:-1] + b',"x":"' + b"x" * LONGEST + b'"}',
        BOB[:-1] + b',"x":[{},{}]}',
        b'{"course_id":"c1"}',
        b"{}",
        b"7",
    ],
)
def test_what_is_uncertain_wrong_or_large_is_not_remembered(item: bytes) -> None:
    """It is read anew every time, and told the same."""
    rig = HandlerRig()

    for _ in range(2):
        assert heard(rig, wrapped(item)) == read_afresh(rig, wrapped(item))

    assert len(rig.remembered) == 0


@pytest.mark.parametrize("blank", [b"", b" "])
@pytest.mark.parametrize("rest", [b"", b',"x":1'])
def test_what_is_no_json_is_refused_whatever_is_remembered(rest: bytes, blank: bytes) -> None:
    """A key without its digits, or put together from parts of others, is nobody's heartbeat."""
    rig = HandlerRig()
    said = b'"course_id":"c1","viewer_id":"ada"'
    good = [said, said + b',"seq":5' + rest, said + b',"y":1,"seq":5' + rest]
    wrong = [
        b"",
        b",",
        b",x",
        b',"seq":',
        b',"seq":' + rest,
        b',"seq": ' + rest,
        rest + b'"seq":5',
        b'"seq":5',
    ]
    wrong += [
        rest + b',"seq":,"seq":5',
        b',"seq":' + rest + b'"seq":5',
        b',"seq":5"seq":5' + rest,
        b',"seq":5,' + rest,
    ]
    frame = b'{"heartbeats":%b[{%%b}]}' % blank
    for text in good:
        heard(rig, frame % text)

    for end in wrong:
        assert heard(rig, frame % (said + end)) == read_afresh(rig, frame % (said + end)), end


def test_one_wrong_item_keeps_no_other_from_being_remembered() -> None:
    """The next call reads the wrong one alone."""
    rig = HandlerRig()

    told = heard(rig, wrapped(ADA, b'{"course_id":"c1"}', BOB))

    assert isinstance(told, list)
    assert [isinstance(one, Meaning) for one in told] == [True, False, True]
    assert len(rig.remembered) == 2


def test_the_room_is_shared_with_single_heartbeats() -> None:
    """HEARTBEAT_CACHE_LIMIT holds for both together; the oldest go first, whichever they are."""
    rig = HandlerRig(heartbeat_cache_limit=2)

    rig.heard(b'{"viewer_id":"u1"}')
    heard(rig, wrapped(ADA, BOB))

    assert len(rig.remembered) == 2
    assert all(cached.write.viewer_id != "u1" for cached in rig.remembered.values())


def test_another_secret_makes_other_leave_tokens() -> None:
    """What was remembered under the old secret would hand out tokens that nobody takes."""
    rig = HandlerRig()
    before = heard(rig, wrapped(ADA))

    rig.shared.secret = b"t" * 32
    after = heard(rig, wrapped(ADA))

    assert before != after
    assert after == read_afresh(rig, wrapped(ADA))


def test_a_parser_s_limit_on_depth_holds_for_what_is_read_alone() -> None:
    """Too deep for the whole body is too deep for an item of it."""
    rig = HandlerRig()

    for depth in range(1_018, 1_026):
        item = BOB[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
        assert heard(rig, wrapped(item)) == read_afresh(rig, wrapped(item))


def test_a_thousand_and_no_more() -> None:
    """The bounds of a call are the same whether its items are remembered or not."""
    rig = HandlerRig()
    heard(rig, wrapped(BOB))

    assert len(heard(rig, wrapped(*[BOB] * 1_000))) == 1_000
    for content in (wrapped(*[BOB] * 1_001), wrapped(), b'{"heartbeats":{}}', b"{}"):
        told = heard(rig, content)
        assert isinstance(told, dict)
        assert told["errors"] == [
            {"pointer": "/heartbeats", "detail": "must be a list of 1 to 1000 heartbeats"}
        ]

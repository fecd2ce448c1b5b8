"""Slots as a Cluster counts them, and tags that spread the partitions evenly over them (S15)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from presence_svc.store.keys import Keys
from presence_svc.store.redis.cluster.slots import SLOTS, slot_of, slot_of_tag, tags

IDS = st.text("abcXYZ019_.:@~|=+-", min_size=1, max_size=128)


@given(st.binary(max_size=60) | st.from_regex(rb"[a-c{}]{0,12}", fullmatch=True))
def test_slots_are_those_that_redis_py_counts(key: bytes) -> None:
    """Tags too: the first { and the next }, unless nothing stands between them."""
    assert slot_of(key) == key_slot(key)


@pytest.mark.parametrize("partitions", [1, 2, 64, 256, 1_024, 4_096])
def test_each_tag_lies_in_the_middle_of_its_range(partitions: int) -> None:
    """S15: tag k is the first short string whose slot is in the middle of range k."""
    found = tags(partitions)
    width = SLOTS // partitions

    assert [slot_of_tag(tag.encode()) for tag in found] == [k * width + width // 2 for k in range(partitions)]
    assert max(map(len, found)) <= 4


def test_tags_never_change() -> None:
    """They are part of key names: other ones would look for everybody elsewhere."""
    assert tags(256)[:4] == ("e8a", "iy8", "aio", "tg6")
    assert tags(1) == ("fjl",)


@given(IDS, st.sampled_from((1, 16, 256, 4_096)))
def test_all_of_a_course_is_in_the_slot_of_its_partition(course: str, partitions: int) -> None:
    """One slot, one script call: keys of a course, its viewers, its channel, agenda and mark (S15)."""
    keys = Keys("presence", partitions)
    partition = keys.partition_of(course)
    names = [
        *keys.course(course),
        *keys.names(course, "ada").values(),
        keys.left(course, "a:viewer:b"),
        keys.channel(course),
        partition.agenda,
        partition.since,
    ]

    assert {slot_of(name) for name in names} == {partition.slot}
    assert partition.number == slot_of_tag(course.encode()) // (SLOTS // partitions)


@given(IDS, IDS, st.sampled_from((0, 1, 256)))
def test_names_tell_the_course_and_the_viewer(course: str, viewer: str, partitions: int) -> None:
    """What a channel or a key is about is read from its name, whatever an id holds."""
    keys = Keys("a.prefix", partitions)

    assert keys.course_of(keys.channel(course)) == course
    assert keys.course_of(keys.course(course).viewers, "viewers") == course
    if ":viewer:" not in f"{course}:viewer:{viewer}".replace(":viewer:", "", 1):
        assert keys.viewer_of(keys.viewer(course, viewer)) == (course, viewer)


def test_one_server_keeps_its_names() -> None:
    """Names on one server are a public contract."""
    keys = Keys("presence")

    assert keys.course("c1").viewers == "presence:{c1}:viewers"
    assert keys.viewer("c1", "ada") == "presence:{c1}:viewer:ada"
    assert keys.channel("c1") == "presence:{c1}:changes"
    assert [(p.agenda, p.since) for p in keys.partitions] == [("presence:agenda:0", "presence:since")]


def test_names_on_a_cluster_are_as_documented() -> None:
    """`presence:{t}:C:viewers`, and `presence:{t}:agenda` once per partition."""
    keys = Keys("presence", 256)

    assert keys.course("c1").viewers == "presence:{kj8}:c1:viewers"
    assert keys.viewer("c1", "ada") == "presence:{kj8}:c1:viewer:ada"
    assert keys.channel("c1") == "presence:{kj8}:c1:changes"
    assert keys.partition_of("c1").agenda == "presence:{kj8}:agenda"
    assert len({partition.slot for partition in keys.partitions}) == 256

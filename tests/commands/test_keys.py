"""`presence-svc keys COURSE`: the names that other services read, as the settings make them."""

from __future__ import annotations

import asyncio
import json

import pytest

from presence_svc.commands import keys
from presence_svc.commands.keys import describe
from presence_svc.errors import Misconfigured
from presence_svc.model import Heartbeat
from presence_svc.settings import load
from presence_svc.store.presence import Presence
from presence_svc.store.redis.factory import open_link
from presence_svc.store.write import HeartbeatWrite
from tests.cluster_rig import Cluster


def test_on_one_server() -> None:
    """The public contract of one server, and a plain channel."""
    found = describe("c1", load())

    assert found["keys"]["viewers"] == "presence:{c1}:viewers"
    assert found["keys"]["viewer"] == "presence:{c1}:viewer:<viewer_id>"
    assert (found["channel"], found["publish"]) == ("presence:{c1}:changes", "PUBLISH")
    assert found["partition"] is None


def test_on_a_cluster(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The partition's tag, its slot, and a sharded channel; as JSON and as a table."""
    monkeypatch.setenv("PRESENCE_REDIS_URL", "redis+cluster://:hunter2@h1:1,h2:2")

    keys.run("c1", as_json=True)
    found = json.loads(capsys.readouterr().out)
    keys.run("c1", as_json=False)
    shown = capsys.readouterr().out

    assert found["keys"]["viewers"] == "presence:{kj8}:c1:viewers"
    assert (found["channel"], found["publish"]) == ("presence:{kj8}:c1:changes", "SPUBLISH")
    assert found["partition"] == {"index": 224, "of": 256, "tag": "kj8", "slot": 14368}
    assert "presence:{kj8}:c1:viewers" in shown
    assert "224 of 256, tag kj8, slot 14368" in shown
    assert "hunter2" not in shown


def test_a_malformed_course_is_refused() -> None:
    """An id that could break out of a key has no keys."""
    with pytest.raises(Misconfigured, match="not a course id"):
        keys.run("a}b", as_json=True)


def test_the_names_are_those_in_a_cluster(
    empty_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it prints is where a heartbeat has written, at the master of the slot that it says."""
    monkeypatch.setenv("PRESENCE_REDIS_URL", empty_cluster.url)
    asyncio.run(beat(empty_cluster.url, "c1", "ada"))

    keys.run("c1", as_json=True)
    told = json.loads(capsys.readouterr().out)
    owner = empty_cluster.owner(told["partition"]["slot"])
    names = {name.replace("<viewer_id>", "ada") for name in told["keys"].values()}
    there = {name.decode() for name in empty_cluster.execute(owner, "KEYS", "presence:*")}

    assert {empty_cluster.execute(owner, "CLUSTER KEYSLOT", name) for name in names} == {
        told["partition"]["slot"]
    }
    expected = {"viewers", "viewer", "places", "chapters", "state", "agenda"}
    assert {
        name for name in expected if told["keys"][name].replace("<viewer_id>", "ada") in there
    } == expected
    assert empty_cluster.execute(owner, "ZRANGE", told["keys"]["viewers"], 0, -1) == [b"ada"]


async def beat(url: str, course: str, viewer: str) -> None:
    """One heartbeat, in a chapter."""
    settings = load(redis_url=url)
    link = open_link(settings, timeout_s=10)
    presence = Presence(link, settings)
    said = Heartbeat(viewer_id=viewer, chapter_id="ch-1")
    assert (await presence.heartbeat(HeartbeatWrite(course, viewer, said))).total == 1
    await presence.close()
    await link.close()

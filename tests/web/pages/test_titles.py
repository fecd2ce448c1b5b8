"""Titles from a file and from a URL: read once for all, kept when the source fails, never in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from presence_svc.errors import Misconfigured
from presence_svc.settings import load
from presence_svc.web.pages.titles import FRESH_S, LONGEST, RETRY_S, SIZE_LIMIT, Title, Titles, parse
from tests.web.answering import Answering


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as running:
        yield running


async def settled(titles: Titles, course: str, wanted: str) -> None:
    """Waits until a reading in the background has brought this."""
    found = ""
    for _ in range(1_000):
        found = (await titles.of([course]))[course].title
        if found == wanted:
            break
        await asyncio.sleep(0.01)
    assert found == wanted


async def read_again(titles: Titles, server: Answering, times: int) -> None:
    """Waits until the server has been asked so often, and what it said has been judged."""
    for _ in range(2_000):
        if server.asked >= times and titles._flight is None:
            break
        await asyncio.sleep(0.01)
    assert server.asked == times


async def test_a_file_gives_titles_and_chapters(tmp_path: Path) -> None:
    """A text is a title; an object may have chapters too. What has no title is left out."""
    file = tmp_path / "titles.json"
    file.write_bytes(orjson.dumps({"a": "One", "b": {"title": "Two", "chapters": {"ch-1": "First"}}}))
    titles = Titles(str(file))

    assert await titles.of(["a", "c", "b"]) == {
        "a": Title(title="One"),
        "b": Title(title="Two", chapters={"ch-1": "First"}),
    }
    assert list(await titles.search("TW", 10)) == ["b"]
    assert len(await titles.search("", 1)) == 1


async def test_a_url_is_asked_once_for_all_and_again_when_it_is_due(server: Answering) -> None:
    """Whoever asks meanwhile has what is known."""
    clock = Clock()
    titles = Titles(server.url, clock)
    server.body = b'{"a": "One"}'

    await asyncio.gather(*(titles.of(["a"]) for _ in range(20)))
    assert server.asked == 1
    server.body = b'{"a": "Other"}'
    assert (await titles.of(["a"]))["a"].title == "One"
    clock.now += FRESH_S
    await settled(titles, "a", "Other")

    assert server.asked == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"{}"), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b" " * (SIZE_LIMIT + 1))],
    ids=["absent", "moved", "no JSON", "no object", "too large"],
)
async def test_what_cannot_be_read_leaves_what_is_known(
    server: Answering, caplog: pytest.LogCaptureFixture, status: int, body: bytes
) -> None:
    """One line in the log for one trouble, however often it is asked; then all is well again."""
    clock = Clock()
    titles = Titles(server.url, clock)
    server.body = b'{"a": "One"}'
    await titles.of(["a"])

    server.status, server.body = status, body
    for n in range(2, 5):
        clock.now += FRESH_S
        await titles.of(["a"])
        await read_again(titles, server, n)
        assert (await titles.of(["a"]))["a"].title == "One"
    assert len([line for line in caplog.records if "titles cannot be read" in line.message]) == 1
    server.status, server.body = 200, b'{"a": "Two"}'
    clock.now += RETRY_S
    await settled(titles, "a", "Two")


async def test_a_source_that_is_away_is_no_error(tmp_path: Path) -> None:
    """The first reading fails: there are ids then, and no exception."""
    titles = Titles("http://127.0.0.1:1/titles.json")

    assert await titles.of(["a"]) == {}
    assert await Titles("").search("a", 5) == {}
    await titles.close()


def test_what_can_be_used_is_used(caplog: pytest.LogCaptureFixture) -> None:
    """Wrong ids and values are left out and named once; long titles are cut."""
    given = {
        "ok": " Title ",
        "long": "x" * 999,
        "no id": "A",
        "b": 5,
        "c": {"title": ""},
        "d": {"chapters": {}},
    }
    with caplog.at_level(logging.WARNING):
        found = parse(orjson.dumps(given | {"e": {"title": "E", "chapters": {"x": 1, "y": " Y "}}}))

    assert found.keys() == {"ok", "long", "e"}
    assert found["ok"].title == "Title"
    assert len(found["long"].title) == LONGEST
    assert found["e"].chapters == {"y": "Y"}
    assert "4 courses have no usable title, such as 'no id'" in caplog.text


@pytest.mark.parametrize("value", ["nothing/there.json", "ftp://x/y", "https://", "https://u:p@x/y"])
def test_a_source_that_can_be_none_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """By the variable's name; a password in it is not repeated."""
    monkeypatch.setenv("PRESENCE_TITLES_URL", value)

    with pytest.raises(Misconfigured, match="PRESENCE_TITLES_URL") as caught:
        load()

    assert "u:p" not in str(caught.value)


def test_a_file_url_is_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both ways to name a file are believed."""
    file = tmp_path / "my titles.json"
    file.write_text("{}")
    monkeypatch.setenv("PRESENCE_TITLES_URL", file.as_uri())

    assert load().titles_url == str(file)

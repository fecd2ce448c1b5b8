"""What a roster shows, and that following its cursor sees everybody who stays (S4, S7)."""

from __future__ import annotations

import asyncio
import base64

import pytest

from presence_svc.errors import BadRequest, Invalid
from tests.store.replica import Replica, write_of

PAGES = 200


async def walk(replica: Replica, *, limit: int, chapter_id: str = "") -> list[str]:
    """Every viewer that following `next_cursor` to its end shows, in order."""
    seen: list[str] = []
    cursor = None
    for _ in range(PAGES):
        page = await replica.page(limit=limit, cursor=cursor, chapter_id=chapter_id)
        assert len(page.viewers) <= limit
        seen += [viewer.viewer_id for viewer in page.viewers]
        cursor = page.next_cursor
        if cursor is None:
            return seen
    raise AssertionError("the walk does not end")


async def test_a_roster_says_what_was_said(replica: Replica) -> None:
    """Name, picture, chapters, since when and until when."""
    first = await replica.beat("ada", "one", name="Ada", avatar_url="https://a.example/a.png", chapter="ch-2")
    await replica.pass_time(10_000)
    second = await replica.beat("ada", "two", chapter="ch-1")

    (viewer,) = (await replica.page()).viewers

    assert viewer.model_dump() == {
        "viewer_id": "ada",
        "name": "Ada",
        "avatar_url": "https://a.example/a.png",
        "chapters": ["ch-1", "ch-2"],
        "joined_at": first.as_of - 10_000,
        "expires_at": second.expires_at,
    }


async def test_absent_name_and_picture_stay(replica: Replica) -> None:
    """A heartbeat without name or picture leaves them as they were; new ones replace them."""
    await replica.beat("ada", name="Ada", avatar_url="https://a.example/a.png")
    await replica.beat("ada", chapter="ch-1")
    (kept,) = (await replica.page()).viewers
    await replica.beat("ada", name="Countess")
    (renamed,) = (await replica.page()).viewers

    assert (kept.name, kept.avatar_url) == ("Ada", "https://a.example/a.png")
    assert (renamed.name, renamed.avatar_url) == ("Countess", "https://a.example/a.png")


async def test_a_name_forges_no_picture(replica: Replica) -> None:
    """Whatever characters a name holds, it stays the name: pictures are checked, names are not."""
    name = "Ada\nhttp://evil.example/x.png"
    await replica.beat("ada", name=name)

    (viewer,) = (await replica.page()).viewers

    assert (viewer.name, viewer.avatar_url) == (name, None)


async def test_names_of_every_script(replica: Replica) -> None:
    """Names come back as they were said: other scripts, emoji, quotes, control characters."""
    names = ["Ада Лавлейс", "艾达", "👩‍💻", 'O"Neil\\', "a\tb", "-", "%s {0}"]
    for n, name in enumerate(names):
        await replica.beat(f"v{n}", name=name)

    assert sorted(viewer.name or "" for viewer in (await replica.page()).viewers) == sorted(names)


async def test_who_lapsed_and_returns_joins_anew(replica: Replica) -> None:
    """`joined_at` is the beginning of this stay; a former stay's name is not remembered."""
    await replica.beat("ada", name="Ada")
    await replica.pass_time(60_001)
    back = await replica.beat("ada")

    (viewer,) = (await replica.page()).viewers

    assert (viewer.joined_at, viewer.name) == (back.as_of, None)


async def test_the_first_page_is_the_most_recently_heard(replica: Replica) -> None:
    """Order is by when they were heard, not by how long their leases are."""
    for n in range(6):
        await replica.beat(f"v{n}", hidden=n % 2 == 0)
        await replica.pass_time(1_000)

    assert await replica.listed(limit=3) == ["v5", "v4", "v3"]


async def test_old_hidden_tabs_push_nobody_off_the_first_page(replica: Replica) -> None:
    """Many hidden sessions, heard long ago, whose leases are as long as those of fresh visible ones."""
    for n in range(8):
        await replica.beat(f"hidden-{n}", hidden=True)
    await replica.pass_time(85_000)
    for n in range(3):
        await replica.beat(f"fresh-{n}")
        await replica.pass_time(2_000)

    first = await replica.listed(limit=3)
    everybody = await walk(replica, limit=3)

    assert first == ["fresh-2", "fresh-1", "fresh-0"]
    assert sorted(everybody) == sorted([f"hidden-{n}" for n in range(8)] + [f"fresh-{n}" for n in range(3)])


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_a_walk_sees_everybody_once(replica: Replica, limit: int) -> None:
    """When nobody beats meanwhile: each named viewer exactly once, the anonymous never."""
    for n in range(40):
        await replica.beat(f"v{n:02}", hidden=n % 5 == 0, anonymous=n % 7 == 0, chapter=f"ch-{n % 3}")
        if n % 4 == 0:
            await replica.pass_time(700)

    seen = await walk(replica, limit=limit)

    assert sorted(seen) == [f"v{n:02}" for n in range(40) if n % 7]


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_a_walk_through_a_chapter_sees_it_only(replica: Replica, limit: int) -> None:
    """With a chapter: who is there, each once, and nobody else."""
    for n in range(24):
        await replica.beat(f"v{n:02}", chapter=f"ch-{n % 3}", hidden=n % 2 == 0, anonymous=n % 5 == 0)

    seen = await walk(replica, limit=limit, chapter_id="ch-1")

    assert sorted(seen) == [f"v{n:02}" for n in range(24) if n % 3 == 1 and n % 5]
    assert await walk(replica, limit=limit, chapter_id="ch-none") == []


async def test_a_crowd_heard_in_one_moment_is_paged_too(replica: Replica) -> None:
    """Fifty leases that end in the same millisecond: the order among them is by id."""
    beats = [write_of(f"v{n:02}") for n in range(50)]
    await asyncio.gather(*(replica.presence.heartbeat(beat) for beat in beats))

    seen = await walk(replica, limit=7)

    assert sorted(seen) == [f"v{n:02}" for n in range(50)]


async def test_anonymous_crowds_hide_no_page(replica: Replica) -> None:
    """Hundreds of anonymous viewers in front: the few named ones are still found."""
    for n in range(3):
        await replica.beat(f"named-{n}")
    await replica.pass_time(1_000)
    await asyncio.gather(*(replica.beat(f"ghost-{n}", anonymous=True) for n in range(300)))

    assert sorted(await walk(replica, limit=2)) == ["named-0", "named-1", "named-2"]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "!!!!", "W10", "bnVsbA", "WzEsMiwzXQ", "A" * 5_000, "é", "WzEsMCwwLCIiLGZhbHNlLC0xLCIiXQ"],
)
async def test_a_foreign_cursor_is_refused(replica: Replica, cursor: str) -> None:
    """What no page has given out is a wrong field, never a crash."""
    await replica.beat("ada")

    with pytest.raises(Invalid) as refused:
        await replica.page(cursor=cursor)

    assert refused.value.errors[0][0] == "/cursor"


async def test_a_cursor_tells_nobody_and_fits_nowhere_else(replica: Replica) -> None:
    """S7: where a walk goes on is the place of a viewer whom the roster may not show."""
    for n in range(4):
        await replica.beat(f"shy-{n}@corp.example", anonymous=True)
        await replica.beat(f"ada-{n}@corp.example")
        await replica.beat("bob", course=f"c{n}")
    first = await replica.page(limit=1)
    second = await replica.page(limit=1, cursor=first.next_cursor)
    cursors = [page.next_cursor for page in (first, second) if page.next_cursor]
    assert len(cursors) == 2

    for cursor in cursors:
        raw = base64.urlsafe_b64decode(cursor + "===")
        assert b"corp.example" not in raw
        changed = base64.urlsafe_b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode().rstrip("=")
        for course, text in (("c2", cursor), ("c1", changed), ("c1", cursor[:-8])):
            with pytest.raises(Invalid):
                await replica.page(course, cursor=text)


async def test_the_named_are_found_under_a_crowd(replica: Replica) -> None:
    """S7: three named viewers and two thousand anonymous ones who beat later and at one moment."""
    for name in ("ada", "bob", "cleo"):
        await replica.beat(name)
        await asyncio.gather(*(replica.beat(f"{name}-{n}", anonymous=True) for n in range(667)))
    first = await replica.page(limit=5)

    assert {viewer.viewer_id for viewer in first.viewers} == {"ada", "bob", "cleo"}
    assert (first.named, first.anonymous, first.next_cursor) == (3, 2_001, None)


async def test_the_named_of_a_chapter_are_found_under_a_crowd(replica: Replica) -> None:
    """S2, S7: the same among those of one chapter."""
    await replica.beat("ada", chapter="ch-1")
    await replica.beat("bob", chapter="ch-2")
    await asyncio.gather(*(replica.beat(f"a-{n}", chapter="ch-1", anonymous=True) for n in range(900)))

    page = await replica.page(limit=5, chapter_id="ch-1")

    assert [viewer.viewer_id for viewer in page.viewers] == ["ada"]


async def test_who_is_anonymous_in_one_tab_hides_nobody_else(replica: Replica) -> None:
    """S7: viewers who are named in one session and anonymous in a shorter one are hidden, others are not."""
    await replica.beat("early")
    for n in range(5):
        await replica.beat(f"both-{n}", "tab", anonymous=True)
    await asyncio.gather(*(replica.beat(f"a-{n}", anonymous=True) for n in range(500)))
    for n in range(5):
        await replica.beat(f"both-{n}", "other", hidden=True)
    await asyncio.gather(*(replica.beat(f"b-{n}", anonymous=True) for n in range(500)))
    page = await replica.page(limit=5)

    assert [viewer.viewer_id for viewer in page.viewers] == ["early"]
    assert page.named == 1


@pytest.mark.parametrize("ends", ["leaves", "lapses"])
async def test_a_name_comes_back_when_the_anonymous_tab_has_gone(replica: Replica, ends: str) -> None:
    """S7: while one tab is anonymous its viewer is nobody; then they are again who they said they are."""
    picture = "https://x.example/a.png"
    await replica.beat("ada", "named", name="Ada", avatar_url=picture, hidden=True)
    await replica.beat("ada", "secret", anonymous=True)
    meanwhile = await replica.page()
    if ends == "leaves":
        await replica.leave("ada", "secret")
    else:
        await replica.pass_time(61_000)
    (viewer,) = (await replica.page()).viewers

    assert meanwhile.viewers == []
    assert (viewer.name, viewer.avatar_url) == ("Ada", picture)
    await replica.beat("ada", "named", name="Ada L.")
    assert [viewer.name for viewer in (await replica.page()).viewers] == ["Ada L."]


@pytest.mark.parametrize(
    "said",
    [b"[]", b"{}", b"7", b"[1,2]", b'[1,2,"",true,0,"",0]', b'["1",0,"",false,0,""]', b"[1,0,[],false,0,0]"],
)
async def test_a_cursor_of_another_version_is_a_bad_request(replica: Replica, said: bytes) -> None:
    """Sealed by one of ours in a rolling deploy, with other fields: 400 that says so, and no TypeError."""
    sealed = replica.rosters._seal.close(said, "c1")

    with pytest.raises(BadRequest, match="another version"):
        await replica.page(limit=2, cursor=sealed)

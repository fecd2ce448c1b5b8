"""What travels: ids, names, pictures and numbers, as the models take and refuse them."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from presence_svc.auth.subject import named
from presence_svc.errors import Invalid
from presence_svc.model import MAX_SAFE_INT, Heartbeat, Leave

ALLOWED = string.ascii_letters + string.digits + "_.:@~|=+-"


@given(st.text(ALLOWED, min_size=1, max_size=128))
def test_every_allowed_id_is_taken_as_it_is(text: str) -> None:
    """An id comes out as it went in."""
    assert Heartbeat(viewer_id=text, session_id=text, chapter_id=text).viewer_id == text


@given(st.text(max_size=140).filter(lambda t: not 1 <= len(t) <= 128 or any(c not in ALLOWED for c in t)))
def test_every_other_id_is_refused(text: str) -> None:
    """H2: nothing that could break out of a Redis key, a JSON text or a line."""
    for model in (Heartbeat, Leave):
        with pytest.raises((ValidationError, Invalid)):
            named(model(viewer_id=text))
        with pytest.raises(ValidationError):
            model(session_id=text)


@pytest.mark.parametrize("text", ["a\n", "a\r", "ä", "a b", "a{b}", "*", "a/b", "a\x00", 'a"', "a\\"])
def test_dangerous_ids_are_refused(text: str) -> None:
    """The usual ones by name: a newline at the end slips through many patterns."""
    with pytest.raises(Invalid, match="/viewer_id: String should match pattern"):
        named(Heartbeat(viewer_id=text))
    with pytest.raises(ValidationError):
        Heartbeat(chapter_id=text)


@pytest.mark.parametrize(("seq", "taken"), [(0, 0), (2.0, 2), (MAX_SAFE_INT, MAX_SAFE_INT), (None, None)])
def test_a_seq_is_a_whole_number(seq: Any, taken: int | None) -> None:
    """JSON has one number type: 2.0 is whole."""
    assert Heartbeat(viewer_id="a", seq=seq).seq == taken


@pytest.mark.parametrize("seq", [-1, 0.5, "1", True, MAX_SAFE_INT + 1, float("nan"), float("inf"), []])
def test_nothing_else_is_a_seq(seq: Any) -> None:
    """Beyond 2^53 - 1 numbers are not exact in JavaScript nor in Lua."""
    with pytest.raises(ValidationError):
        Heartbeat(viewer_id="a", seq=seq)


def test_null_is_as_if_it_were_absent() -> None:
    """Clients with typed bodies send it for whatever is not set."""
    nothing: dict[str, Any] = dict.fromkeys(Heartbeat.model_fields)

    assert Heartbeat(**nothing) == Heartbeat()
    assert Leave(**dict.fromkeys(Leave.model_fields)) == Leave()


@pytest.mark.parametrize("flag", ["true", 1, 0, [], {}])
def test_a_flag_is_true_or_false(flag: Any) -> None:
    """No other value is taken for one."""
    with pytest.raises(ValidationError):
        Heartbeat(viewer_id="a", hidden=flag)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/x",
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "//a.example/x",
        "https://",
        "https://user@a.example/x",
        "https://a.example/x y",
        "https://a.example/\nx",
        "https://a.example/\tx",
        " https://a.example/x",
        "https:/logout",
        "https:logout",
        "https:///a.example/x",
        "https:\\\\a.example\\x",
        "https://a.example\\@b.example/x",
        'https://a.example/"><b>',
        "https://a.example/\u202ex",
        "https://a.example/\x7fx",
        "https://a.example/\u00a0x",
        "x" * 10,
        "https://a.example/" + "x" * 500,
        7,
    ],
)
def test_only_https_pictures(url: Any) -> None:
    """Anything else could run or track in the pages that show it."""
    with pytest.raises(ValidationError):
        Heartbeat(viewer_id="a", avatar_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "HTTPS://a.example/x",
        "https://[2001:db8::1]:8443/x?y=1&z='2'#3",
        "https://ä.example/ö",
    ],
)
def test_https_pictures_stay_as_they_are(url: str) -> None:
    """Of any host, port and script."""
    assert Heartbeat(viewer_id="a", avatar_url=url).avatar_url == url


def test_a_name_is_trimmed_and_bounded() -> None:
    """80 characters, of any script; blanks around it go."""
    assert Heartbeat(viewer_id="a", name="  Ада ").name == "Ада"
    assert Heartbeat(viewer_id="a", name="😀" * 80).name == "😀" * 80
    with pytest.raises(ValidationError):
        Heartbeat(viewer_id="a", name="x" * 81)


def test_a_statement_is_whole() -> None:
    """What is absent has its default, and unknown fields are ignored."""
    said = Heartbeat.model_validate({"viewer_id": "a", "mood": "fine"})

    assert said.session_id == "main"
    assert (said.chapter_id, said.name, said.seq) == (None, None, None)
    assert (said.anonymous, said.hidden) == (False, False)

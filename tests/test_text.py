"""Text: halves of surrogate pairs in JSON, and names that show nothing."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_svc.model import Heartbeat
from presence_svc.text import is_visible, loads, loads_as_said, repaired, shown

UNSEEN = [
    " ", "\t", "\u00a0", "\u1680", "\u2000", "\u200a", "\u2028", "\u202f", "\u205f", "\u3000",  # blanks
    "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u180e", "\u061c", "\u034f",  # zero width
    "\u202e", "\u2066", "\u0000", "\u001b", "\u0085", "\U000e0041", "\ufff9",  # controls and formats
    "\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\u17b4", "\ufe0f", "\U000e0100", "\u0301",
    "\U0001d159",
]  # fmt: skip


@pytest.mark.parametrize("char", UNSEEN, ids=lambda char: f"{ord(char):04x}")
def test_what_shows_nothing_is_no_name(char: str) -> None:
    """Alone, many times and among others of its kind it is as if no name were said."""
    assert not is_visible(char * 3 + "\u200b ")
    assert Heartbeat(name=char * 3).name is None
    assert Heartbeat(name=f"{char}a").name is not None


@pytest.mark.parametrize(
    "name", ["a", "!", "\u00e9", "\u5f20", "\U0001f600", "\ufffd", "\u0e01\u0e34", "\ue000"]
)
def test_what_shows_something_is_a_name(name: str) -> None:
    """Letters of any script, signs, emoji, and what a fault was repaired to."""
    assert Heartbeat(name=name).name == name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (rb'"Ada \ud83d"', "Ada \ufffd"),
        (rb'"\ude00 Ada"', "\ufffd Ada"),
        (rb'"\uD83D\uD83D\uDE00"', "\ufffd\U0001f600"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
        (rb'"\\\ud83d"', "\\\ufffd"),
    ],
)
def test_half_a_pair_is_repaired(text: bytes, told: str) -> None:
    """In either half, in any case, behind backslashes that are escaped or not; and it is noted."""
    noted: list[int] = []

    assert loads(text, lambda: noted.append(1)) == told
    assert noted == [1]


@given(st.text(st.characters(), max_size=8))
def test_any_text_that_json_can_hold_is_read(text: str) -> None:
    """Whatever Python's json writes, halves and all, is read; what orjson reads is read as it reads it."""
    import json

    written = json.dumps(text).encode()
    clean = not any("\ud800" <= char <= "\udfff" for char in text)

    assert loads(written) == (text if clean else loads(repaired(written)))
    assert loads_as_said(written) == text


@pytest.mark.parametrize(
    "text", [b"", b"{", b'"\\ud83', b'{"a":"\\ud83d"', b"\xff", b'"\xed\xa0\xbd"', b"[NaN]"]
)
def test_what_is_no_json_stays_none(text: bytes) -> None:
    """Only halves of pairs are forgiven."""
    with pytest.raises(orjson.JSONDecodeError):
        loads(text)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Ada\u202e", "Ada"),
        ("\u202eadA\u202c B", "adA B"),
        ("\u2067Ada\u2069", "Ada"),
        ("Ada\r\n\tLovelace", "Ada\r\n\tLovelace"),
        ("Ada\0", "Ada"),
        ("\x1b[2JAda", "[2JAda"),
        ("A\x0b\x0c\x7fda\x85", "A da"),
        ("\u202e\n", None),
        ("", None),
        # What names of their scripts, and signs, are written with.
        ("\u0627\u0644\u062e\u200c\u0627\u0646", "\u0627\u0644\u062e\u200c\u0627\u0646"),
        ("\u05d0\u05d3\u05d4\u200f (1)", "\u05d0\u05d3\u05d4\u200f (1)"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("Zoe\u0308", "Zoe\u0308"),
    ],
)
def test_a_name_reaches_no_further_than_itself(name: str, told: str | None) -> None:
    """No terminal, database or direction around it is changed by it; the rest is as it was said."""
    assert shown(name) == told

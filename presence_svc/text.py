"""Text as JSON may bring it: halves of surrogate pairs are repaired, names and pictures made fit to be shown.

Used by web for bodies and socket messages, by auth for claims, by model for its fields. `loads` raises what
orjson raises.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import orjson
from pydantic import AnyUrl, TypeAdapter

# A pair, the half of one, or any other escape: a backslash that is escaped begins none.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)
_HALF = re.compile("[\ud800-\udfff]")
# Beside blanks, controls, formats and marks: what is drawn as nothing though it counts as a letter or a sign.
_UNSEEN = frozenset("\u115f\u1160\u3164\uffa0\u2800\u2065\U0001d159")
_UNSEEN_RANGES = ((0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF))
_CONTROLS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+")  # all but tabs and ends of lines
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]+")
_https = TypeAdapter(AnyUrl)
_PICTURE = re.compile(r"https://(?![/?#])[^ \"<>\\`]+", re.IGNORECASE)  # as it is written (RFC 3986)
_UNSEEN_KINDS = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Me"))


def loads(content: bytes, on_repair: Callable[[], object] = lambda: None) -> Any:
    """The value of a JSON text. Where only halves of surrogate pairs keep it from being one, they are U+FFFD.

    orjson refuses them, as UTF-8 does. `on_repair` is called when that was needed.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        mended = repaired(content)
        if mended == content:
            raise
        value = orjson.loads(mended)
    on_repair()
    return value


def loads_as_said(content: bytes, on_repair: Callable[[], object] = lambda: None) -> Any:
    """As loads, with the halves left as they are: two texts that differ in them are not the same."""
    is_mended = False

    def note() -> None:
        nonlocal is_mended
        is_mended = True
        on_repair()

    value = loads(content, note)
    if not is_mended:
        return value
    try:
        return json.loads(content)
    except RecursionError:  # it goes less deep than orjson
        raise orjson.JSONDecodeError("nested too deeply", content.decode(errors="replace"), 0) from None


def repaired(content: bytes) -> bytes:
    """A JSON text without halves of surrogate pairs; as long as it was."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], content)


def whole(text: str) -> str:
    """The same of a text that has been read."""
    return _HALF.sub("\ufffd", text)


def shown(name: str) -> str | None:
    """A name as others may see it; None for what shows nothing.

    Controls are blanks: they break databases, terminals and files that it is copied to. Marks that set a
    direction for what comes after them go: they would turn the rest of a list round too.
    """
    fit = _DIRECTIONS.sub("", _CONTROLS.sub(" ", name)).strip()
    return fit if is_visible(fit) else None


def picture(value: Any) -> Any:
    """Only https pictures: anything else could run or track in a page that shows them. Raises ValueError.

    `https:/logout` is one by itself, and within a page it is a path of the page's own host.
    """
    if isinstance(value, str):
        url = _https.validate_python(value)
        if url.scheme != "https" or not url.host or url.username or url.password:
            raise ValueError("must be an https address without credentials")
        if not value.isprintable() or not _PICTURE.fullmatch(value):
            raise ValueError(
                "must begin with https:// and contain no blanks, quotes, brackets or backslashes"
            )
    return value


def is_visible(name: str) -> bool:
    """Whether anything of a name can be seen: blanks, zero widths, fillers and marks alone cannot."""
    return any(map(_is_seen, name))


def _is_seen(char: str) -> bool:
    if " " < char < "\x7f":
        return True
    if char in _UNSEEN or any(low <= ord(char) <= high for low, high in _UNSEEN_RANGES):
        return False
    return unicodedata.category(char) not in _UNSEEN_KINDS

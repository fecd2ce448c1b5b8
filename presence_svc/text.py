"""Text as JSON may bring it: halves of surrogate pairs are repaired, and names that show nothing are found.

Used by web for bodies and socket messages, by auth for claims, by model for names. Raises what orjson raises.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import orjson

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
    return json.loads(content) if is_mended else value


def repaired(content: bytes) -> bytes:
    """A JSON text without halves of surrogate pairs; as long as it was."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], content)


def whole(text: str) -> str:
    """The same of a text that has been read."""
    return _HALF.sub("\ufffd", text)


def is_visible(name: str) -> bool:
    """Whether anything of a name can be seen: blanks, zero widths, fillers and marks alone cannot."""
    return any(map(_is_seen, name))


def _is_seen(char: str) -> bool:
    if " " < char < "\x7f":
        return True
    if char in _UNSEEN or any(low <= ord(char) <= high for low, high in _UNSEEN_RANGES):
        return False
    return unicodedata.category(char) not in _UNSEEN_KINDS

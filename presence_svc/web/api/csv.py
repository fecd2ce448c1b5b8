"""Writes rows as CSV (RFC 4180), safe from formulas in spreadsheets. Used by web.api and commands."""

from __future__ import annotations

from collections.abc import Iterable

FORMULA = ("=", "+", "-", "@", "\t", "\r")
MEDIA_TYPE = "text/csv; charset=utf-8; header=present"


def cell(value: object) -> str:
    """One cell: null is empty, and a text that would be a formula gets a leading apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    if text.startswith(FORMULA):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\r\n') else text


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A header line and the rows."""
    lines = [",".join(map(cell, row)) for row in (header, *rows)]
    return ("\r\n".join(lines) + "\r\n").encode()

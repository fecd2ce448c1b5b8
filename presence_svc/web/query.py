"""Query parameters: each is parsed, validated and described by one object, which its route lists.

Used by routes, which read them, and by web.api.openapi, which describes them. Raises Invalid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from ..errors import Invalid
from ..model import ID_PATTERN
from . import body

ID_SCHEMA = {"type": "string", "pattern": ID_PATTERN}


class Parameter(Protocol):
    """The description of a parameter. Each kind also has a `read`, with its own return type."""

    @property
    def name(self) -> str: ...
    @property
    def is_required(self) -> bool: ...
    @property
    def schema(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`."""

    name: str
    low: int
    high: int
    default: int
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high, "default": self.default}

    def read(self, request: HTTPConnection) -> int:
        """Raises Invalid for anything but a whole number in the range."""
        text = request.query_params.get(self.name, str(self.default))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and self.low <= int(text) <= self.high):
            raise Invalid([(f"/{self.name}", f"must be a whole number from {self.low} to {self.high}")])
        return int(text)


@dataclass(frozen=True, slots=True)
class Ids:
    """One or more ids, up to `most`, by repeating the name."""

    name: str
    most: int
    is_required: bool = True

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": ID_SCHEMA, "minItems": 1, "maxItems": self.most}

    def read(self, request: HTTPConnection) -> list[str]:
        """Raises Invalid for none, too many, or malformed ids."""
        ids = request.query_params.getlist(self.name)
        if not 1 <= len(ids) <= self.most:
            raise Invalid([(f"/{self.name}", f"must be given 1 to {self.most} times")])
        return [body.checked_id(one, f"/{self.name}/{i}") for i, one in enumerate(ids)]


@dataclass(frozen=True, slots=True)
class OneId:
    """An id, or none."""

    name: str
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return ID_SCHEMA

    def read(self, request: HTTPConnection) -> str | None:
        """Raises Invalid for a malformed id."""
        text = request.query_params.get(self.name)
        return None if text is None else body.checked_id(text, f"/{self.name}")


@dataclass(frozen=True, slots=True)
class Text:
    """A text of at most `most` characters, which the route validates; an empty one counts as none."""

    name: str
    is_required: bool = False
    most: int | None = None

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string"} | ({"maxLength": self.most} if self.most else {})

    def read(self, request: HTTPConnection) -> str | None:
        """Raises Invalid if it is too long."""
        text = request.query_params.get(self.name) or None
        if text and self.most and len(text) > self.most:
            raise Invalid([(f"/{self.name}", f"must have at most {self.most} characters")])
        return text


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words; the first is the default."""

    name: str
    options: tuple[str, ...]
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.options), "default": self.options[0]}

    def read(self, request: HTTPConnection) -> str:
        """Raises Invalid for any other."""
        found = request.query_params.get(self.name, self.options[0])
        if found not in self.options:
            raise Invalid([(f"/{self.name}", f"must be one of {', '.join(self.options)}")])
        return found

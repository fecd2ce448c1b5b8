"""The types that settings share."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

NONE = "none"  # an empty variable counts as not set, so that an empty list needs a word


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=10_000_000)]
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
SecretsCommaSeparated = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]


class Rule(NamedTuple):
    """A condition between settings, the variable to name when it does not hold, and the reason."""

    holds: bool
    name: str
    why: str

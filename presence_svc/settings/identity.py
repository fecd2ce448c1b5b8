"""The settings that say who is believed: tokens, keys, anonymous viewers, origins. A part of Settings.

Refuses half a configuration: a key or a claim without AUTH=jwt would look like protection and be none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from ..model import ID_PATTERN
from .addresses import is_origin, is_safe
from .kinds import NONE, CommaSeparated, Rule, SecretsCommaSeparated
from .public_key import read_public_key

SECRET_BYTES = 32
ID = re.compile(ID_PATTERN)
SERVICE_KEY_CHARS = 20
# Beside all that begins with JWT_: what is only looked at when tokens are.
OF_TOKENS = {
    "names_from_body",
    "service_keys",
    "creator_keys",
    "allow_anonymous",
    "public_counts",
    "pseudonyms",
}


class IdentitySettings(BaseSettings):
    """Mixed into Settings, which carries the environment's prefix."""

    auth: Literal["trusted", "jwt"] | None = Field(
        None, description="`trusted`: the body's viewer_id is believed; `jwt`: a bearer token says it"
    )
    jwt_preset: Literal["clerk"] | None = Field(
        None, description="`clerk`: keys at the issuer's usual place, `sid` required, `azp` may be absent"
    )
    jwt_jwks_url: str | None = Field(None, description="where the issuer publishes its keys (https)")
    jwt_public_key: str | None = Field(None, description="the issuer's public key (PEM) instead")
    jwt_secret: SecretStr | None = Field(
        None, description="a secret shared with the issuer instead (HS256, 32 bytes or more)"
    )
    jwt_issuer: str | None = Field(None, min_length=1, description="what `iss` must be")
    jwt_audience: CommaSeparated = Field((), description="`aud` must name one of these")
    jwt_authorized_parties: CommaSeparated = Field((), description="`azp` must be one of these")
    jwt_leeway: Annotated[float, Field(ge=0, le=30)] = Field(
        5, description="seconds by which the issuer's clock may differ"
    )
    jwt_id_claim: str = Field(
        "sub",
        min_length=1,
        description="the claim that says who the viewer is; what no id can hold is digested",
    )
    jwt_name_claim: str = Field("name", description="the claim with the viewer's name; dots go deeper")
    jwt_picture_claim: str = Field("picture", description="the claim with the viewer's picture")
    jwt_courses_claim: str | None = Field(
        None, min_length=1, description="the claim that lists the courses a viewer may enter; `*` = any"
    )
    jwt_creator_claim: str | None = Field(
        None,
        min_length=1,
        description="the claim that lists the courses whose creator a viewer is: these they see with their"
        " history; `*` = any",
    )
    names_from_body: bool = Field(
        False, description="believe a heartbeat's name and picture where the token has none"
    )
    service_keys: SecretsCommaSeparated = Field(
        (), description="API keys of the service role, 20 characters or more each"
    )
    creator_keys: SecretsCommaSeparated = Field(
        (),
        description="keys that only look at counts, rosters and history: each a key of 20 characters or more"
        " and the courses that it opens (`*` = any), with blanks between them",
    )
    allow_anonymous: bool = Field(False, description="count viewers without a token (AUTH=jwt)")
    public_counts: bool = Field(False, description="show counts without a token (AUTH=jwt)")
    pseudonyms: bool = Field(
        False, description="viewers see each other under ids that differ from course to course"
    )
    cors_origins: CommaSeparated = Field(
        default_factory=lambda data: () if data.get("auth") == "jwt" else ("*",),
        description="origins whose pages may call; `*` = any, `none`. None given: any (trusted), none (jwt)",
    )
    log_addresses: bool = Field(False, description="write clients' addresses to the log")

    @field_validator("jwt_public_key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        """Environment files have no way to write a line's end but as backslash and n."""
        if not value:
            return value
        pem = value.replace("\\n", "\n")
        read_public_key(pem)
        return pem

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value == (NONE,):
            return ()
        for origin in value:
            if not is_origin(origin):
                raise ValueError(
                    f"{origin} is no origin as browsers send it: write https://host or https://host:port, in"
                    " lower case, without a path or the usual port, with commas between them; or *"
                )
        return value

    @property
    def creators(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each creator's key, with the courses that it opens."""
        written = [entry.get_secret_value().split() for entry in self.creator_keys]
        return [(key, tuple(courses)) for key, *courses in written]

    @property
    def jwks_url(self) -> str | None:
        """Where the keys are, by the preset when it is not said."""
        if self.jwt_jwks_url or self.jwt_preset != "clerk" or self.jwt_public_key or not self.jwt_issuer:
            return self.jwt_jwks_url
        return self.jwt_issuer.rstrip("/") + "/.well-known/jwks.json"

    def identity_rules(self) -> Iterator[Rule]:
        """What must hold between these."""
        keys = [bool(self.jwks_url), bool(self.jwt_public_key), self.jwt_secret is not None]
        if self.auth != "jwt":
            for name, field in IdentitySettings.model_fields.items():
                if name.startswith("jwt_") or name in OF_TOKENS:
                    is_default = getattr(self, name) == field.default
                    yield Rule(is_default, name.upper(), "is of no use without PRESENCE_AUTH=jwt")
            return
        yield Rule(
            sum(keys) == 1, "JWT_JWKS_URL", "give exactly one of it, JWT_PUBLIC_KEY, JWT_SECRET or a preset"
        )
        yield Rule(
            self.jwt_secret is None or len(self.jwt_secret.get_secret_value().encode()) >= SECRET_BYTES,
            "JWT_SECRET",
            "must have 32 bytes at least, else it can be guessed",
        )
        yield Rule(
            self.jwks_url is None or is_safe(self.jwks_url), "JWT_JWKS_URL", "must be an https address"
        )
        yield Rule(
            self.jwt_secret is not None or bool(self.jwt_issuer),
            "JWT_ISSUER",
            "is needed: anybody's token could be signed by a shared key server",
        )
        yield Rule(
            bool(self.jwt_secret or self.jwt_preset or self.jwt_audience or self.jwt_authorized_parties),
            "JWT_AUDIENCE",
            "or JWT_AUTHORIZED_PARTIES is needed: else a token made for another application is believed",
        )
        yield Rule(
            all(len(key.get_secret_value()) >= SERVICE_KEY_CHARS for key in self.service_keys),
            "SERVICE_KEYS",
            "must have 20 characters at least each",
        )
        yield Rule(
            all(len(key) >= SERVICE_KEY_CHARS and _are_courses(courses) for key, courses in self.creators),
            "CREATOR_KEYS",
            "each must be a key of 20 characters at least and one course or more, with blanks between them",
        )
        keys_of_services = {key.get_secret_value() for key in self.service_keys}
        keys_of_creators = [key for key, _ in self.creators]
        yield Rule(
            len({*keys_of_creators, *keys_of_services}) == len(keys_of_creators) + len(keys_of_services),
            "CREATOR_KEYS",
            "each key must be there once, and none of PRESENCE_SERVICE_KEYS among them",
        )


def _are_courses(courses: tuple[str, ...]) -> bool:
    return bool(courses) and all(course == "*" or ID.fullmatch(course) for course in courses)

"""The settings of identity: tokens, keys, anonymous viewers, origins. A part of Settings.

Refuses incomplete configurations: a key or a claim without AUTH=jwt would look like protection and be none.
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
# Like all names that begin with JWT_, these have no effect without tokens.
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
        None,
        description="`trusted`: the body's viewer_id is believed; `jwt`: a bearer token names the viewer",
    )
    jwt_preset: Literal["clerk"] | None = Field(
        None,
        description="`clerk`: keys at Clerk's usual URL, `sid` is required, `azp` may be absent",
    )
    jwt_jwks_url: str | None = Field(None, description="URL of the issuer's keys (JWKS, https)")
    jwt_public_key: str | None = Field(None, description="instead: the issuer's public key (PEM)")
    jwt_secret: SecretStr | None = Field(
        None, description="instead: a secret shared with the issuer (HS256, at least 32 bytes)"
    )
    jwt_issuer: str | None = Field(None, min_length=1, description="the value that `iss` must have")
    jwt_audience: CommaSeparated = Field(
        (), description="`aud` must contain one of these, separated by commas"
    )
    jwt_authorized_parties: CommaSeparated = Field(
        (), description="`azp` must be one of these, separated by commas"
    )
    jwt_leeway: Annotated[float, Field(ge=0, le=30)] = Field(
        5, description="by how many seconds the issuer's clock may differ"
    )
    jwt_id_claim: str = Field(
        "sub",
        min_length=1,
        description="the claim with the viewer's id; a value that is no valid id is replaced by its hash",
    )
    jwt_name_claim: str = Field(
        "name", description="the claim with the viewer's name; dots lead into nested objects"
    )
    jwt_picture_claim: str = Field("picture", description="the claim with the viewer's picture")
    jwt_courses_claim: str | None = Field(
        None, min_length=1, description="the claim that lists the courses a viewer may enter; `*` = all"
    )
    jwt_creator_claim: str | None = Field(
        None,
        min_length=1,
        description="the claim that lists the courses of which the viewer is the creator, and may see"
        " history; `*` = all",
    )
    names_from_body: bool = Field(
        False, description="use a heartbeat's name and picture if the token has none"
    )
    service_keys: SecretsCommaSeparated = Field(
        (), description="API keys of the service role, separated by commas, at least 20 characters each"
    )
    creator_keys: SecretsCommaSeparated = Field(
        (),
        description="read-only keys for counts, rosters and history: each a key of at least 20 characters and"
        " the courses it opens (`*` = all), separated by blanks; commas between keys",
    )
    allow_anonymous: bool = Field(False, description="count viewers without a token, as anonymous (AUTH=jwt)")
    public_counts: bool = Field(False, description="show counts to callers without a token (AUTH=jwt)")
    pseudonyms: bool = Field(
        False, description="show viewers to each other under ids that differ from course to course (AUTH=jwt)"
    )
    cors_origins: CommaSeparated = Field(
        default_factory=lambda data: () if data.get("auth") == "jwt" else ("*",),
        description="origins whose pages may call the service, separated by commas; `*` = all, or `none`. Not"
        " set: all (trusted), none (jwt)",
    )
    log_addresses: bool = Field(False, description="write clients' addresses to the log")

    @field_validator("jwt_public_key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        """Environment files can write a line break only as backslash and n."""
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
                    f"{origin} is not an origin as browsers send it: write https://host or https://host:port,"
                    " in lower case, without a path or the default port, separated by commas; or *"
                )
        return value

    @property
    def creators(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each creator's key, with the courses that it opens."""
        written = [entry.get_secret_value().split() for entry in self.creator_keys]
        return [(key, tuple(courses)) for key, *courses in written]

    @property
    def jwks_url(self) -> str | None:
        """Where the keys are; if it is not set, where the preset says."""
        if self.jwt_jwks_url or self.jwt_preset != "clerk" or self.jwt_public_key or not self.jwt_issuer:
            return self.jwt_jwks_url
        return self.jwt_issuer.rstrip("/") + "/.well-known/jwks.json"

    def identity_rules(self) -> Iterator[Rule]:
        """The rules between these settings."""
        keys = [bool(self.jwks_url), bool(self.jwt_public_key), self.jwt_secret is not None]
        if self.auth != "jwt":
            for name, field in IdentitySettings.model_fields.items():
                if name.startswith("jwt_") or name in OF_TOKENS:
                    is_default = getattr(self, name) == field.default
                    yield Rule(is_default, name.upper(), "has no effect without PRESENCE_AUTH=jwt")
            return
        yield Rule(
            sum(keys) == 1,
            "JWT_JWKS_URL",
            "set exactly one of this, PRESENCE_JWT_PUBLIC_KEY, PRESENCE_JWT_SECRET or PRESENCE_JWT_PRESET",
        )
        yield Rule(
            self.jwt_secret is None or len(self.jwt_secret.get_secret_value().encode()) >= SECRET_BYTES,
            "JWT_SECRET",
            "must have at least 32 bytes, else it can be guessed",
        )
        yield Rule(self.jwks_url is None or is_safe(self.jwks_url), "JWT_JWKS_URL", "must be an https URL")
        yield Rule(
            self.jwt_secret is not None or bool(self.jwt_issuer),
            "JWT_ISSUER",
            "is needed: other issuers' tokens may be signed with the same keys",
        )
        yield Rule(
            bool(self.jwt_secret or self.jwt_preset or self.jwt_audience or self.jwt_authorized_parties),
            "JWT_AUDIENCE",
            "or PRESENCE_JWT_AUTHORIZED_PARTIES is needed, else a token for another application is accepted",
        )
        yield Rule(
            all(len(key.get_secret_value()) >= SERVICE_KEY_CHARS for key in self.service_keys),
            "SERVICE_KEYS",
            "each key must have at least 20 characters",
        )
        yield Rule(
            all(len(key) >= SERVICE_KEY_CHARS and _are_courses(courses) for key, courses in self.creators),
            "CREATOR_KEYS",
            "each entry must be a key of at least 20 characters and one or more courses, separated by blanks",
        )
        keys_of_services = {key.get_secret_value() for key in self.service_keys}
        keys_of_creators = [key for key, _ in self.creators]
        yield Rule(
            len({*keys_of_creators, *keys_of_services}) == len(keys_of_creators) + len(keys_of_services),
            "CREATOR_KEYS",
            "each key must appear only once, and must not be one of PRESENCE_SERVICE_KEYS",
        )


def _are_courses(courses: tuple[str, ...]) -> bool:
    return bool(courses) and all(course == "*" or ID.fullmatch(course) for course in courses)

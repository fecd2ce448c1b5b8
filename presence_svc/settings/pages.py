"""The settings of the service's web pages: which are served, and under which path. A part of Settings."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from .kinds import NONE, CommaSeparated

PAGES = ("demo", "dashboard", "docs")
OFF = {NONE, "off", "false", "no", "0"}
ON = {"all", "on", "true", "yes", "1"}
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")


class PageSettings(BaseSettings):
    """Mixed into Settings, which carries the environment's prefix."""

    pages: CommaSeparated = Field(
        PAGES,
        description="which of `demo`, `dashboard`, `docs` are served; `none` = no page, and `/` is 404 too",
    )
    root_path: str = Field(
        "",
        description="path under which a proxy serves the service, such as `/presence`, whether or not it"
        " strips it",
    )

    titles_url: str = Field(
        "",
        description="titles for the dashboard: an http(s) URL or a JSON file,"
        ' `{"course": {"title": "…", "chapters": {"id": "…"}}}`',
    )

    @field_validator("titles_url")
    @classmethod
    def _titles_url(cls, value: str) -> str:
        """Returns a path or an http(s) URL. Credentials do not belong in a URL."""
        url = urlsplit(value)
        if url.scheme == "file" and url.netloc in ("", "localhost"):
            value, url = unquote(url.path), urlsplit("")
        if url.scheme in ("http", "https"):
            if not url.hostname or url.username is not None or url.password is not None:
                raise ValueError("must be https://host/path, without a user or password")
            return value
        if value and not Path(value).is_file():
            raise ValueError("must be an http(s) URL, or the path of a JSON file that exists")
        return value

    @field_validator("pages")
    @classmethod
    def _pages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(word.lower() for word in value))
        if len(words) == 1 and words[0] in OFF | ON:
            return () if words[0] in OFF else PAGES
        if unknown := [word for word in words if word not in PAGES]:
            raise ValueError(f"{unknown[0]} is not a page: list some of {', '.join(PAGES)}, or none")
        return words

    @field_validator("root_path")
    @classmethod
    def _root_path(cls, value: str) -> str:
        path = value.rstrip("/")
        if not ROOT_PATH.fullmatch(path) or "/." in path:
            raise ValueError("must begin with a slash and be a plain path, such as /presence")
        return path

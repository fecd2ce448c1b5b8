"""The responses of the history routes as pydantic models, also for OpenAPI. Times are ms since 1970 (UTC)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Step = Literal["1m", "15m", "1h", "1d"]


class History(BaseModel):
    """Columns, a value per step; `peak` null = not known, `partial` = a part of the step is not known."""

    course_id: str
    chapter_id: str | None
    step: Step
    tz: str
    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int
    as_of: int
    unique_approximate: bool
    t: list[int]
    peak: list[int | None]
    average: list[float | None]
    viewer_minutes: list[float | None]
    unique: list[int | None]
    partial: list[bool]


class Calendar(BaseModel):
    """Seven rows from Monday, 24 columns from midnight; null = not known at all."""

    course_id: str
    tz: str
    weeks: int
    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int
    as_of: int
    peak: list[list[int | None]]
    average: list[list[float | None]]


class ChapterHeat(BaseModel):
    """A chapter, a value per quarter of an hour."""

    chapter_id: str
    viewer_minutes: float
    peak: list[int | None]
    average: list[float | None]


class Heatmap(BaseModel):
    """Chapters, the most watched first, by the quarters that begin at `t`."""

    course_id: str
    tz: str
    from_: int = Field(serialization_alias="from", validation_alias="from")
    to: int
    as_of: int
    t: list[int]
    chapters: list[ChapterHeat]


class ExportRow(BaseModel):
    """A closed quarter of a course or of one of its chapters; rows with equal `key` are duplicates."""

    key: str
    course_id: str
    chapter_id: str | None
    t: int
    closed_at: int
    peak: int
    average: float
    viewer_minutes: float
    partial: bool


class ExportPage(BaseModel):
    """Some rows, and the cursor for those that follow, now or later."""

    rows: list[ExportRow]
    cursor: str


class ExportedRow(ExportRow):
    """A row, and the cursor to continue with once it is stored; None = from the beginning."""

    cursor: str | None

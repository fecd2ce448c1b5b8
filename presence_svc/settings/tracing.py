"""The setting that turns traces on. A part of Settings; the variables OTEL_* configure the rest."""

from __future__ import annotations

from importlib.util import find_spec

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

PARTS = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class TracingSettings(BaseSettings):
    """Mixed into Settings, which carries the environment's prefix."""

    otel: bool = Field(
        False, description="send OpenTelemetry traces of requests (extra `otel`), configured by `OTEL_*`"
    )

    @field_validator("otel")
    @classmethod
    def _otel(cls, value: bool) -> bool:
        if value and not _is_installed():
            raise ValueError("needs the extra: pip install 'presence-svc[otel]'")
        return value


def _is_installed() -> bool:
    try:
        return all(find_spec(part) is not None for part in PARTS)
    except (ImportError, ValueError):
        return False

"""Where settings come from: arguments, then the environment, without what Kubernetes adds to it."""

from __future__ import annotations

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from .names import ours, trimmed

ENV_PREFIX = "PRESENCE_"


class EnvironmentSettings(BaseSettings):
    """Mixed into Settings."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment: without what Kubernetes adds, and without blanks around values."""
        if isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = trimmed(ours(ENV_PREFIX, env_settings.env_vars))
        return init_settings, env_settings

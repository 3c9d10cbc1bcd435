"""Which servers tests use, from the environment: `AUTOMESH_TEST_POSTGRES_DSN`, `AUTOMESH_TEST_REDIS_URL`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Empty means: start one out of the wheels."""

    model_config = SettingsConfigDict(env_prefix="AUTOMESH_TEST_", frozen=True)

    postgres_dsn: str = Field(
        "", description="a role that may create databases and roles; databases named automesh_test_* come and go"
    )
    redis_url: str = Field("", description="a Redis for tests")

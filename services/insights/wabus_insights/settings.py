"""What insights can be told, but for what every service is."""

from typing import Any, ClassVar, cast

from pydantic import SecretStr, model_validator
from wabus_runtime.graph.client import GraphSettings
from wabus_runtime.projection.rebuild import RebuildSettings
from wabus_runtime.settings import (
    AuthSettings,
    CredentialSettings,
    DatabaseSettings,
    HttpSettings,
    IdentitySettings,
    PublicSettings,
)


class InsightsDatabaseSettings(DatabaseSettings):
    """A schema of its own, in the database of the other services or in one of its own."""

    database_schema: ClassVar[str | None] = "insights"

    insights_database_url: SecretStr | None = None
    """Where counts and costs are kept, if not in the database of the other services."""

    @model_validator(mode="before")
    @classmethod
    def _has_its_own(cls, given: Any) -> Any:
        """With a database of its own nothing of the other one is used, nor its replica."""
        settings = dict(cast(dict[str, Any], given))
        settings.pop("read_database_url", None)
        if own := settings.get("insights_database_url"):
            settings["database_url"] = own
        return settings


class InsightsApiSettings(InsightsDatabaseSettings, PublicSettings, IdentitySettings, HttpSettings, AuthSettings):
    """What answering takes; nothing that opens a token or speaks to Meta."""


class InsightsFoldSettings(InsightsDatabaseSettings, RebuildSettings):
    """What folding the log once more takes."""


class InsightsWorkerSettings(
    InsightsDatabaseSettings, GraphSettings, IdentitySettings, HttpSettings, CredentialSettings
):
    """What counting, and reading what Meta has counted, takes."""


class InsightsSettings(InsightsWorkerSettings, InsightsApiSettings):
    """Everything that insights can be told."""

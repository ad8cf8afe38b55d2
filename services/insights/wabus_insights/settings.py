"""What insights can be told, but for what every service is."""

from typing import ClassVar

from pydantic import SecretStr
from wabus_runtime.graph.client import GraphSettings
from wabus_runtime.projection.rebuild import RebuildSettings
from wabus_runtime.settings import (
    AuthSettings,
    CredentialSettings,
    HttpSettings,
    IdentitySettings,
    OwnDatabaseSettings,
    PublicSettings,
)


class InsightsDatabaseSettings(OwnDatabaseSettings):
    """A schema of its own, in the database of the other services or in one of its own."""

    database_schema: ClassVar[str | None] = "insights"

    insights_database_url: SecretStr | None = None
    """Where counts and costs are kept, if not in the database of the other services."""


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

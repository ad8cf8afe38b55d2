"""What the sender can be told, but for what every service is."""

from typing import ClassVar

from pydantic import Field, SecretStr
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


class SenderDatabaseSettings(OwnDatabaseSettings):
    """A schema of its own, in the database of the other services or in one of its own."""

    database_schema: ClassVar[str | None] = "sender"

    sender_database_url: SecretStr | None = None
    """Where sends are kept, if not in the database of the other services."""


class SenderApiSettings(SenderDatabaseSettings, PublicSettings, IdentitySettings, HttpSettings, AuthSettings):
    """What answering takes; nothing that opens a token or speaks to Meta."""

    sender_queue_limit: int = Field(default=100_000, ge=1)
    """Sends of one organisation that may wait; more are refused for a while."""


class SenderFoldSettings(SenderDatabaseSettings, RebuildSettings):
    """What folding the log once more takes."""


class SenderWorkerSettings(SenderDatabaseSettings, GraphSettings, IdentitySettings, HttpSettings, CredentialSettings):
    """What sending takes."""

    sender_calls: int = Field(default=256, ge=1, le=10_000)
    """Calls to Meta that may be under way at once in one process."""


class SenderSettings(SenderWorkerSettings, SenderApiSettings):
    """Everything that the sender can be told."""

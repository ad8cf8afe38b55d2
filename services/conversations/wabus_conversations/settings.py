"""What conversations can be told, but for what every service is."""

from typing import ClassVar

from pydantic import Field, SecretStr, field_validator
from wabus_runtime.graph.client import GraphSettings
from wabus_runtime.projection.rebuild import RebuildSettings
from wabus_runtime.settings import (
    AuthSettings,
    CredentialSettings,
    DatabaseSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    OwnDatabaseSettings,
    PublicSettings,
)

from wabus_conversations.media.fetching import LARGEST
from wabus_conversations.store.objects import is_supported


class ConversationsDatabaseSettings(OwnDatabaseSettings):
    """A schema of its own, in the database of the other services or in one of its own."""

    database_schema: ClassVar[str | None] = "conversations"
    reads_replica: ClassVar[bool] = True

    conversations_database_url: SecretStr | None = None
    """Where messages are kept, if not in the database of the other services."""
    conversations_read_database_url: SecretStr | None = None
    """A read replica of it."""


class SearchSettings(LogSettings):
    """Who writes texts and who searches them must be told the same."""

    conversations_search: bool = True
    """Whether the text of messages is kept in an index, so that it can be found."""


FEED_DAYS = 7


class FeedSettings(LogSettings):
    """Who writes down what has changed and who tells it must be told the same."""

    conversations_feed_days: int = Field(default=FEED_DAYS, ge=1, le=30)
    """For how many days somebody who follows can be away, and is told what they have missed."""


class ConversationsRetentionSettings(ConversationsDatabaseSettings):
    """What deleting takes."""

    conversations_retention_days: int = Field(default=30, ge=1, le=730)
    """How long messages are kept, by Meta's time, for an organisation that has not said otherwise."""


class MediaStoreSettings(LogSettings):
    """Who writes media and who serves them must be told the same."""

    media_store_url: str = "file:.wabus/media"
    """Where media are kept: `file:/folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`."""

    @field_validator("media_store_url")
    @classmethod
    def _is_a_store(cls, url: str) -> str:
        if not is_supported(url):
            raise ValueError(
                "must look like file:/folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
            )
        return url


class MediaWorkerSettings(MediaStoreSettings, CredentialSettings, GraphSettings):
    """What fetching media takes."""

    media_fetches: int = Field(default=8, ge=1, le=64)
    """Media that are fetched at once."""
    media_max_bytes: int = Field(default=LARGEST, ge=1, le=LARGEST)
    """Larger media are not kept."""


class ConversationsFoldSettings(SearchSettings, FeedSettings, ConversationsRetentionSettings, RebuildSettings):
    """What folding takes."""


class ConversationsWorkerSettings(ConversationsFoldSettings, MediaWorkerSettings, HttpSettings):
    """The same of a process."""


class ConversationsApiSettings(
    SearchSettings,
    FeedSettings,
    ConversationsDatabaseSettings,
    KafkaSettings,
    DatabaseSettings,  # named again, for of a class that has both these and the worker's they come in one order
    MediaStoreSettings,
    PublicSettings,
    HttpSettings,
    AuthSettings,
):
    """What answering takes; nothing that opens a token or speaks to Meta, and not the key of identities."""

    conversations_streams: int = Field(default=10_000, ge=1)
    """Live streams that a process can have open at a time, of all organisations."""
    conversations_streams_per_org: int = Field(default=1_000, ge=1)
    """Live streams that an organisation can have open at a time, in one process."""


class ConversationsSettings(ConversationsWorkerSettings, ConversationsApiSettings):
    """Everything that conversations can be told."""

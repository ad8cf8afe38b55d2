"""The Kafka topics of wabus, declared in one place: what is in them, how they are keyed, how long they are kept."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic without the prefix that a deployment puts before it (`TOPIC_PREFIX`, `wabus.` by default).

    `retention` is None for a topic kept for ever. In a `compacted` topic the last record of a key stands
    and a record with a null value (a tombstone) removes the key.
    """

    name: str
    about: str
    key: str
    retention: timedelta | None
    compacted: bool = False
    partitions: int = 12

    def config(self) -> dict[str, str]:
        """The topic's Kafka configuration."""
        retention_ms = -1 if self.retention is None else int(self.retention.total_seconds() * 1000)
        lag_ms = int(REPLACED_WITHIN.total_seconds() * 1000)
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(retention_ms),
            "max.message.bytes": str(MAX_RECORD_BYTES),
            **({"max.compaction.lag.ms": str(lag_ms)} if self.compacted else {}),
        }


MAX_RECORD_BYTES = 8 * 1024 * 1024
"""A webhook has at most 3 MB; escaped again in JSON as an unrecognised body it stays under this."""

REPLACED_WITHIN = timedelta(days=1)
"""Kafka's own default compacts a quiet topic never: what was removed from it would stay on disk."""

MESSAGE_RETENTION = timedelta(days=30)
"""Messages hold personal data: they age out."""

ACCOUNTS = Topic(
    "accounts.v1",
    "Accounts connected and disconnected, evidence that webhooks arrive, changes of accounts and phone numbers.",
    key="WABA id",
    retention=None,
)
TEMPLATES = Topic(
    "templates.v1",
    "Template syncs requested, started, done and failed; every change of a template, whole.",
    key="WABA id",
    retention=None,
)
MESSAGES = Topic(
    "messages.v1",
    "Messages received, statuses of messages sent, and webhooks this version has no model for.",
    key="phone number id and contact, so that a conversation stays in order and a big sender spreads",
    retention=MESSAGE_RETENTION,
)
CREDENTIALS = Topic(
    "credentials.v1",
    "Private to wabus: each WABA's access token, sealed. A tombstone means disconnected.",
    key="WABA id",
    retention=None,
    compacted=True,
)
HEALTH = Topic(
    "health.v1",
    "Changes of each organisation's health: from which status to which, why, and since when.",
    key="organisation id",
    retention=None,
)
DEADLETTER = Topic(
    "deadletter.v1",
    "Records that a consumer could not handle, as they were, with where they came from and why they are here.",
    key="the key of the original record",
    retention=timedelta(days=90),
)

TOPICS = (ACCOUNTS, TEMPLATES, MESSAGES, CREDENTIALS, HEALTH, DEADLETTER)

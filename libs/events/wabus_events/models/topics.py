"""The Kafka topics of wabus, declared in one place: what is in them, how they are keyed, how long they are kept."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic without the prefix that a deployment puts before it (`TOPIC_PREFIX`, `wabus.` by default).

    `retention` is the longest that a record is kept, None for ever. In a `compacted` topic the last record of a key
    stands and a record with a null value (a tombstone) removes the key.
    """

    name: str
    about: str
    key: str
    retention: timedelta | None
    compacted: bool = False
    partitions: int = 12

    def config(self) -> dict[str, str]:
        """The topic's Kafka configuration."""
        config = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": "-1" if self.retention is None else _ms(self.retention - DELETED_WITHIN),
            "max.message.bytes": str(MAX_RECORD_BYTES),
        }
        if self.retention is not None:
            config["segment.ms"] = _ms(SEGMENT)
        if self.compacted:
            config["max.compaction.lag.ms"] = _ms(REPLACED_WITHIN)
        return config


MAX_RECORD_BYTES = 8 * 1024 * 1024
"""A webhook has at most 3 MB; escaped again in JSON as an unrecognised body it stays under this."""

REPLACED_WITHIN = timedelta(days=1)
"""Kafka's own default compacts a quiet topic never: what was removed from it would stay on disk."""

SEGMENT = timedelta(hours=12)
"""Kafka deletes whole segments, when the newest record in one is old enough. By its own default one spans a week, and
what is in it outlives its time by as much."""

DELETED_WITHIN = timedelta(days=1)
"""So much before the end of its time a record may be deleted, for then it is gone by that: it waits for the rest of its
segment, and for Kafka's next look."""

PERSONAL_RETENTION = timedelta(days=30)
"""The longest that what may be about a person is kept."""

MESSAGE_RETENTION = PERSONAL_RETENTION
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
    "Messages received, statuses of messages sent, what else happens in conversations, and webhooks this version has "
    "no model for.",
    key="phone number id and contact, so that a conversation stays in order and a big sender spreads",
    retention=MESSAGE_RETENTION,
)
SENDS = Topic(
    "sends.v1",
    "Messages that organisations want sent, and what became of each: claimed, accepted, refused, unknown, settled.",
    key="phone number id, so that a number has one sender",
    retention=PERSONAL_RETENTION,
)
CONVERSATIONS = Topic(
    "conversations.v1",
    "What people of an organisation do with its conversations: who answers, what is closed, read, tagged, noted; teams "
    "and rules.",
    key="organisation id, so that of two who take the same conversation one is first",
    retention=PERSONAL_RETENTION,
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
INSIGHTS = Topic(
    "insights.v1",
    "What Meta has counted and charged, budgets and what was said of them, experiments. Names nobody.",
    key="WABA id, the id of an experiment, or the organisation id",
    retention=None,
)
PRICES = Topic(
    "prices.v1",
    "Meta's rate cards and the rules by which they apply, each with the date from which it holds.",
    key="currency and date",
    retention=None,
    compacted=True,
    partitions=1,
)
ERASURES = Topic(
    "erasures.v1",
    "Organisations, accounts and contacts that were forgotten, and when. Names nobody.",
    key="an HMAC of who was forgotten",
    retention=None,
    compacted=True,
    partitions=1,
)
KEYS = Topic(
    "keys.v1",
    "Private to wabus: each organisation's key for the names of its people. A tombstone destroys it.",
    key="an HMAC of the organisation",
    retention=None,
    compacted=True,
    partitions=1,
)
DEADLETTER = Topic(
    "deadletter.v1",
    "Records that a consumer could not handle, as they were, with where they came from and why they are here.",
    key="the key of the original record",
    retention=PERSONAL_RETENTION,
)

TOPICS = (
    ACCOUNTS, TEMPLATES, MESSAGES, SENDS, CONVERSATIONS, CREDENTIALS, HEALTH, INSIGHTS, PRICES, ERASURES, KEYS,
    DEADLETTER,
)  # fmt: skip


def _ms(time: timedelta) -> str:
    return str(int(time.total_seconds() * 1000))

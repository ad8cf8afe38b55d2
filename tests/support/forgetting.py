"""Lines in time, and a look for words in every row of a database and in every record of Kafka."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from wabus_events import Forgotten, identity_of
from wabus_events.models.erasures import line_at
from wabus_runtime.kafka.clients import client_options
from wabus_runtime.settings import KafkaSettings

IDENTITY_KEY = b"i" * 32
"""As tests/conftest.py sets it."""


def line(kind: type[Forgotten], value: str, at: datetime, scope: str = "") -> Forgotten:
    return line_at(kind, identity_of(IDENTITY_KEY, kind, value, scope), at)


async def rows_with(connection: asyncpg.Pool | asyncpg.Connection, words: Iterable[str]) -> dict[str, list[str]]:
    """The tables in any schema of ours that have one of some words in any row, with the rows.

    Bytes are searched as well: PostgreSQL writes them in hexadecimal.
    """
    wanted = [needle for word in words for needle in (word, word.encode().hex())]
    tables = await connection.fetch(
        """
        SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        """
    )
    found: dict[str, list[str]] = {}
    for table in tables:
        for row in await connection.fetch(f"SELECT t::text AS text FROM {table['name']} AS t"):
            if any(each in row["text"] for each in wanted):
                found.setdefault(table["name"], []).append(row["text"])
    return found


@dataclass(frozen=True)
class Held:
    """A record as it is in Kafka. `topic` has no prefix."""

    topic: str
    retention_ms: int
    """Of the topic, as Kafka says; -1 for ever."""
    is_compacted: bool
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def event_time(self) -> datetime:
        """The event's own time."""
        return datetime.fromisoformat(dict(self.headers)["ce_time"].decode())

    def has(self, words: Iterable[str]) -> bool:
        content = b"\n".join([self.key, self.value or b"", *(value for _, value in self.headers)])
        return any(word.encode() in content for word in words)


async def all_records(settings: KafkaSettings) -> list[Held]:
    """Every record of every topic that Kafka has for this deployment, whoever made the topic."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    consumer = AIOKafkaConsumer(**client_options(settings), auto_offset_reset="earliest")
    await admin.start()
    await consumer.start()
    try:
        names = sorted(name for name in await admin.list_topics() if name.startswith(settings.topic_prefix))
        configs = {name: await _config(admin, name) for name in names}
        described = await admin.describe_topics(names)
        places = [
            TopicPartition(topic["topic"], part["partition"]) for topic in described for part in topic["partitions"]
        ]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        records: list[Held] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, batch in (await consumer.getmany(timeout_ms=200)).items():
                config = configs[place.topic]
                records += [
                    Held(
                        place.topic.removeprefix(settings.topic_prefix),
                        int(config["retention.ms"]),
                        config["cleanup.policy"] == "compact",
                        record.key or b"",
                        record.value,
                        tuple((name, value or b"") for name, value in record.headers),
                    )
                    for record in batch
                ]
        return records
    finally:
        await consumer.stop()
        await admin.close()


async def _config(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    answer: Any
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}

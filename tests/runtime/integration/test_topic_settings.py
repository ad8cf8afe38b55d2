"""Topics that an earlier release, or somebody by hand, has made otherwise than they are declared."""

import asyncio
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner
from wabus_cli.commands import topics as command
from wabus_events import DEADLETTER, MESSAGES, TOPICS, Topic
from wabus_events.models.topics import PERSONAL_RETENTION
from wabus_runtime.kafka.clients import client_options, topic_name
from wabus_runtime.kafka.topic_settings import differing_settings
from wabus_runtime.settings import KafkaSettings
from waiting import wait_until

DAY_MS = 86_400_000


async def set_by_hand(settings: KafkaSettings, name: str, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)])
    finally:
        await admin.close()

    async def known() -> bool:
        return configs.items() <= (await settings_of(settings, name)).items()

    await wait_until(known)


async def settings_of(settings: KafkaSettings, name: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        answer: Any
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await admin.close()


def wabus_topics(*arguments: str) -> list[str]:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [line for line in done.output.splitlines() if " key: " not in line]


async def test_a_topic_of_an_earlier_release_keeps_what_is_about_people_no_longer_than_promised(
    topics: KafkaSettings,
) -> None:
    name = topic_name(topics, DEADLETTER)
    await set_by_hand(topics, name, {"retention.ms": str(90 * DAY_MS), "max.message.bytes": "8388608"})

    shown = await asyncio.to_thread(wabus_topics)
    assert f"{name}: retention.ms is {90 * DAY_MS}, declared is {29 * DAY_MS}" in shown
    assert shown[-1] == "wabus topics --apply makes them as declared"
    assert (await settings_of(topics, name))["retention.ms"] == str(90 * DAY_MS)

    done = await asyncio.to_thread(wabus_topics, "--apply")
    assert f"{name}: retention.ms was {90 * DAY_MS}, is now {29 * DAY_MS}" in done
    assert await differing_settings(topics) == []
    assert await asyncio.to_thread(wabus_topics) == []


async def test_what_an_operator_has_set_beside_it_stays(topics: KafkaSettings) -> None:
    name = topic_name(topics, MESSAGES)
    await set_by_hand(
        topics, name, {"retention.ms": str(90 * DAY_MS), "min.insync.replicas": "2", "retention.bytes": "123456789"}
    )
    await asyncio.to_thread(wabus_topics, "--apply")
    found = await settings_of(topics, name)
    assert found["min.insync.replicas"] == "2"
    assert found["retention.bytes"] == "123456789"
    assert found["retention.ms"] == MESSAGES.config()["retention.ms"]


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic.retention], ids=lambda topic: topic.name)
async def test_what_is_in_a_new_topic_with_people_is_gone_after_thirty_days_at_the_latest(
    topics: KafkaSettings, topic: Topic
) -> None:
    assert await differing_settings(topics) == []
    found = await settings_of(topics, topic_name(topics, topic))
    longest = int(found["retention.ms"]) + int(found["segment.ms"])
    assert longest < PERSONAL_RETENTION.total_seconds() * 1000
    assert found["cleanup.policy"] == "delete"

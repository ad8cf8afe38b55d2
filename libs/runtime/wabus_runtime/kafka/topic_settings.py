"""Topics that are there already, compared with how they are declared, and altered to be so.

`ensure_topics` creates what is missing and leaves the rest alone: what an operator has set is theirs until they ask.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from wabus_events import TOPICS, Topic

from wabus_runtime.kafka.clients import KafkaUnavailable, client_options, topic_name
from wabus_runtime.settings import KafkaSettings

OF_THE_TOPIC = 1  # ConfigEntry's source: set for this topic, not taken from the broker (KIP-226)
KNOWN_WITHIN = 10.0  # seconds until every broker has heard of a change
LOOK_PAUSE = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of a topic that is not as declared."""

    topic: Topic
    setting: str
    found: str | None
    declared: str


async def differing_settings(settings: KafkaSettings, topics: Sequence[Topic] = TOPICS) -> list[Difference]:
    """How the topics' settings differ from those that are declared. Raises `KafkaUnavailable`."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        return _differences(topics, settings, await _found(admin, settings, topics))
    except (KafkaError, TimeoutError) as error:
        raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
    finally:
        await admin.close()


async def apply_settings(settings: KafkaSettings, topics: Sequence[Topic] = TOPICS) -> list[Difference]:
    """Make the topics' settings those that are declared; returns what has been changed, once the brokers know of it.

    Whatever else was set for a topic stays: Kafka's AlterConfigs takes away what it is not told again.
    Raises `KafkaUnavailable`.
    """
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        found = await _found(admin, settings, topics)
        differences = _differences(topics, settings, found)
        altered: list[ConfigResource] = []
        for topic in dict.fromkeys(each.topic for each in differences):
            name = topic_name(settings, topic)
            own = {setting: value for setting, (value, is_own) in found[name].items() if is_own and value is not None}
            altered.append(ConfigResource(ConfigResourceType.TOPIC, name, configs=own | topic.config()))
        if altered:
            for response in await admin.alter_configs(altered):
                for code, _, _, name in _parts(response):
                    _raise_refusal(code, name)
            async with asyncio.timeout(KNOWN_WITHIN):
                while _differences(topics, settings, await _said(admin, settings, topics)):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_PAUSE)
        return differences
    except (KafkaError, TimeoutError) as error:
        raise KafkaUnavailable(f"Kafka would not alter the topics: {type(error).__name__}") from error
    finally:
        await admin.close()


Found = Mapping[str, Mapping[str, tuple[str | None, bool]]]
"""By topic and setting its value, and whether it was set for the topic itself."""


async def _found(admin: AIOKafkaAdminClient, settings: KafkaSettings, topics: Sequence[Topic]) -> Found:
    """What the brokers say. Of a topic that was made just now one may not have heard yet, and says nothing."""
    async with asyncio.timeout(KNOWN_WITHIN):
        while True:
            found = await _said(admin, settings, topics)
            if all(topic.config().keys() <= found[topic_name(settings, topic)].keys() for topic in topics):
                return found
            await asyncio.sleep(LOOK_PAUSE)


async def _said(admin: AIOKafkaAdminClient, settings: KafkaSettings, topics: Sequence[Topic]) -> Found:
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic_name(settings, topic)) for topic in topics]
    found: dict[str, dict[str, tuple[str | None, bool]]] = {}
    for response in await admin.describe_configs(asked):
        for code, _, _, name, entries in _parts(response):
            if code != UnknownTopicOrPartitionError.errno:
                _raise_refusal(code, name)
            found[name] = {entry[0]: (entry[1], entry[3] == OF_THE_TOPIC) for entry in entries}
    return found


def _differences(topics: Sequence[Topic], settings: KafkaSettings, found: Found) -> list[Difference]:
    return [
        Difference(topic, setting, value, declared)
        for topic in topics
        for setting, declared in topic.config().items()
        if (value := found.get(topic_name(settings, topic), {}).get(setting, (None, False))[0]) != declared
    ]


def _parts(response: Any) -> list[Any]:
    return list(response.resources)


def _raise_refusal(code: int, name: str) -> None:
    if code:
        raise KafkaUnavailable(f"Kafka refuses {name}: {for_code(code).__name__}")

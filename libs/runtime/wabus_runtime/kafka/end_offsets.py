"""Where partitions end now, asked on a connection of its own.

A broker answers the requests of one connection one after the other: behind a consumer's fetch, which it holds until
there is something to fetch, the question would wait for up to `fetch_max_wait_ms`.
"""

from collections.abc import Sequence
from typing import cast

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from wabus_events import Topic

from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, stop_consumer, topic_name
from wabus_runtime.settings import KafkaSettings


class Ends:
    """A client that only asks for the ends of partitions: the offset after what is committed there (KIP-98)."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._client = new_consumer(settings)

    async def start(self) -> None:
        """Connect. Raises `KafkaError`."""
        await self._client.start()

    async def of(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Raises `KafkaError`."""
        return cast(dict[TopicPartition, int], await self._client.end_offsets(list(partitions)))

    async def stop(self) -> None:
        await stop_consumer(self._client)


async def end_positions(settings: KafkaSettings, topic: Topic) -> dict[tuple[str, int], int]:
    """Where the partitions of a topic end, by its name and their number. Raises `KafkaUnavailable`."""
    places = [TopicPartition(topic_name(settings, topic), number) for number in range(topic.partitions)]
    client = Ends(settings)
    try:
        await client.start()
        return {(topic.name, place.partition): end for place, end in (await client.of(places)).items()}
    except KafkaError as error:
        raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
    finally:
        await client.stop()

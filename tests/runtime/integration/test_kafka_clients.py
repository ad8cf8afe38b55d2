"""What aiokafka's clients do not tell by themselves: a reset under uvloop, and a background task that has ended."""

import asyncio
from typing import Any

import pytest
import uvloop
import wabus_events.kafka
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from local_stack import free_ports
from proxy import Proxy
from wabus_events import ACCOUNTS
from wabus_events.subscriber.source import KafkaAway
from wabus_local.kafka import EmbeddedKafka
from wabus_runtime.kafka.clients import (
    KafkaUnavailable,
    client_options,
    ensure_topics,
    poll,
    stop_consumer,
    topic_name,
)
from wabus_runtime.settings import KafkaSettings


def test_writing_to_a_connection_that_was_reset_is_an_error_the_client_knows(kafka: EmbeddedKafka) -> None:
    async def write_until_refused() -> None:
        proxy = Proxy(free_ports(1)[0], int(kafka.bootstrap_servers.rpartition(":")[2]))
        await proxy.start()
        connection: Any = await create_conn("127.0.0.1", proxy.port, request_timeout_ms=5_000)
        sent: list[asyncio.Future[Any]] = []
        try:
            proxy.cut()
            async with asyncio.timeout(10):
                while True:
                    sent.append(asyncio.ensure_future(connection.send(MetadataRequest([]))))  # pyright: ignore
                    await asyncio.sleep(0)
        finally:
            connection.close()
            await asyncio.gather(*sent, return_exceptions=True)
            await proxy.stop()

    with pytest.raises(KafkaConnectionError):
        uvloop.run(write_until_refused())


async def test_a_consumer_whose_background_task_ended_is_found_out(topics: KafkaSettings) -> None:
    consumer = AIOKafkaConsumer(topic_name(topics, ACCOUNTS), **client_options(topics))
    await consumer.start()
    inner: Any = consumer
    try:
        await poll(consumer, timeout_ms=10)
        inner._fetcher.error_future.cancel()
        await asyncio.wait([inner._fetcher.error_future], timeout=5)
        with pytest.raises(KafkaUnavailable, match="stopped reading"):
            await poll(consumer, timeout_ms=10)
    finally:
        await stop_consumer(consumer)


@pytest.mark.long
async def test_a_consumer_that_joins_its_group_for_ever_is_found_out(topics: KafkaSettings) -> None:

    class Stuck(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked: Any) -> None:  # pyright: ignore
            if revoked:
                await asyncio.Event().wait()

        async def on_partitions_assigned(self, assigned: Any) -> None:  # pyright: ignore
            pass

    async def poll_on(consumer: AIOKafkaConsumer) -> None:
        async with asyncio.timeout(30):
            while True:
                await wabus_events.kafka.poll(consumer, timeout_ms=50, join_timeout=1)

    options: dict[str, Any] = client_options(topics) | {"group_id": f"{topics.topic_prefix}stuck"}
    consumer, another = AIOKafkaConsumer(**options, heartbeat_interval_ms=200), AIOKafkaConsumer(**options)
    await consumer.start()
    consumer.subscribe([topic_name(topics, ACCOUNTS)], listener=Stuck())
    async with asyncio.timeout(30):
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=50)
    await another.start()
    another.subscribe([topic_name(topics, ACCOUNTS)])
    try:
        with pytest.raises(KafkaAway, match="not joined its group"):
            await poll_on(consumer)
    finally:
        await asyncio.gather(stop_consumer(consumer), stop_consumer(another))


async def test_stopping_a_consumer_whose_fetch_waits_for_kafka_is_no_cancellation_of_ours(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = client_options(topics) | {"retry_backoff_ms": 5_000}
    consumer = AIOKafkaConsumer(topic_name(topics, ACCOUNTS), **options)
    await consumer.start()
    for partition in consumer.assignment():
        await consumer.position(partition)
    inner: Any = consumer
    refused = asyncio.Event()

    async def away(_: int, request: object, **__: object) -> None:
        if isinstance(request, FetchRequest):
            refused.set()
        raise KafkaConnectionError("away")

    monkeypatch.setattr(inner._client, "send", away)
    await asyncio.wait_for(refused.wait(), 10)
    await stop_consumer(consumer)


async def test_a_group_reads_a_topic_that_is_made_after_it_was_joined(topics: KafkaSettings) -> None:
    later = topics.model_copy(update={"topic_prefix": topics.topic_prefix + "later."})
    consumer = AIOKafkaConsumer(**client_options(later), group_id=f"{later.topic_prefix}early")
    await consumer.start()
    try:
        consumer.subscribe([topic_name(later, ACCOUNTS)])
        await consumer.getmany(timeout_ms=100)
        assert not consumer.assignment()
        await ensure_topics(later)
        async with asyncio.timeout(30):
            while len(consumer.assignment()) < ACCOUNTS.partitions:
                await consumer.getmany(timeout_ms=100)
    finally:
        await stop_consumer(consumer)

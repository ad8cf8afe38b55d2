"""Of three brokers one hangs, and nobody else has its partitions: they wait, and all others go on as before."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
from aiokafka.client import AIOKafkaClient
from cluster import Cluster
from wabus_events import MESSAGES, Record
from wabus_runtime.kafka.clients import KafkaUnavailable, client_options, partition_of, topic_name
from wabus_runtime.kafka.publisher import Patience, Publisher
from wabus_runtime.settings import KafkaSettings
from waiting import Eventually

PATIENCE = 2.0  # seconds
HANGS = 8.0  # seconds: longer than it takes the controller to find that partitions have no leader any more
PROMPT = 1.0  # seconds; without a broker that hangs it is some milliseconds

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("kafka"))
    asyncio.run(cluster.start())
    yield cluster
    asyncio.run(cluster.end())


@pytest.fixture
async def publisher(topics: KafkaSettings) -> AsyncIterator[Publisher]:
    publisher = Publisher(topics, "/wabus/test", Patience(PATIENCE))
    await publisher.start()
    yield publisher
    await publisher.stop()


async def leaders(topics: KafkaSettings) -> dict[int, int]:
    """By partition of the topic of messages, the broker that leads it."""
    client = AIOKafkaClient(**client_options(topics))
    try:
        await client.bootstrap()
        await client.set_topics([topic_name(topics, MESSAGES)])
        return {
            number: broker.nodeId
            for broker in client.cluster.brokers()
            for topic, number in client.cluster.partitions_for_broker(broker.nodeId) or ()
            if topic == topic_name(topics, MESSAGES)
        }
    finally:
        await client.close()


class Load:
    """One record after the other to a partition, and what became of each."""

    def __init__(self, publisher: Publisher, partition: int) -> None:
        self._publisher = publisher
        self._keys = (b"%d" % number for number in range(10_000))
        self._key = next(key for key in self._keys if partition_of(key, MESSAGES.partitions) == partition)
        self.taken: list[int] = []
        """The offsets of those that Kafka took, in the order in which they were published."""
        self.refused = 0
        self.longest = 0.0  # seconds until one was taken
        self.longest_refused = 0.0  # seconds until one was not
        self._running = asyncio.create_task(self._run())

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])

    async def _run(self) -> None:
        while True:
            began = time.perf_counter()
            try:
                (position,) = await self._publisher.publish_records([Record(MESSAGES.name, self._key, b"value", [])])
            except KafkaUnavailable:
                self.refused += 1
                self.longest_refused = max(self.longest_refused, time.perf_counter() - began)
            else:
                self.taken.append(position.offset)
                self.longest = max(self.longest, time.perf_counter() - began)
            await asyncio.sleep(0.01)


async def test_a_leader_that_hangs_holds_up_its_own_partitions_only(
    topics: KafkaSettings, kafka: Cluster, publisher: Publisher, eventually: Eventually
) -> None:
    led = await leaders(topics)
    hung = Counter(led.values()).most_common(1)[0][0]
    loads = {partition: Load(publisher, partition) for partition in led}
    others = [load for partition, load in loads.items() if led[partition] != hung]
    its_own = [load for partition, load in loads.items() if led[partition] == hung]
    assert others

    async def all_have_begun() -> bool:
        return all(load.taken for load in loads.values())

    await eventually(all_have_begun)
    for load in others:
        load.longest = 0.0
    before = {load: len(load.taken) for load in loads.values()}
    kafka.halt(hung)
    began = time.perf_counter()

    async def it_has_hung_for_long() -> bool:
        return time.perf_counter() - began > HANGS

    await eventually(it_has_hung_for_long)
    longest = max(load.longest for load in others)
    print(f"the others' longest publish took {longest:.3f} s, {sum(len(load.taken) for load in others)} were taken")
    assert [load.refused for load in others] == [0] * len(others)
    assert longest < PROMPT
    assert all(len(load.taken) - before[load] > HANGS for load in others)
    assert all(load.refused > 10 for load in its_own)  # at once, once it is clear that nothing is answered
    assert max(load.longest_refused for load in its_own) < PATIENCE + PROMPT
    assert publisher.available
    kafka.halt(hung, signal.SIGCONT)

    stopped = {load: len(load.taken) for load in its_own}

    async def all_go_on() -> bool:
        return all(len(load.taken) > stopped[load] + 5 for load in its_own)

    await eventually(all_go_on)
    for load in loads.values():
        await load.end()
        assert load.taken == sorted(set(load.taken))

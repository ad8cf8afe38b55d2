"""The way of records to a broker: written once whatever happens to a connection, and told as it is. And its end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaConnectionError
from proxy import Proxy, kafka_behind_a_proxy
from wabus_events import MESSAGES, Event, MessageStatusChanged, Record
from wabus_local.kafka import EmbeddedKafka
from wabus_runtime.kafka.clients import KafkaUnavailable, client_options, stop_consumer, topic_name
from wabus_runtime.kafka.end_offsets import end_positions
from wabus_runtime.kafka.outcomes import Position
from wabus_runtime.kafka.publisher import Patience, Publisher
from wabus_runtime.settings import KafkaSettings
from waiting import Eventually

# The other way to choose a loop, a hook, would choose one for every test there is.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture:DeprecationWarning")


@pytest.fixture(
    scope="module", params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"]
)
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """uvloop is what services run on; it tells of broken connections in its own way."""
    return request.param()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedKafka, int, int]]:
    broker, listener, advertised = kafka_behind_a_proxy(tmp_path_factory.mktemp("kafka"))
    asyncio.run(broker.start(120))
    yield broker, listener, advertised
    asyncio.run(broker.stop())


@pytest.fixture
def kafka(proxied: tuple[EmbeddedKafka, int, int]) -> EmbeddedKafka:
    """The one that can be reached through the proxy too."""
    return proxied[0]


@pytest.fixture
async def proxy(proxied: tuple[EmbeddedKafka, int, int]) -> AsyncIterator[Proxy]:
    _, listener, advertised = proxied
    proxy = Proxy(advertised, listener)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
def patience() -> Patience:
    return Patience()


@pytest.fixture
async def publisher(topics: KafkaSettings, proxy: Proxy, patience: Patience) -> AsyncIterator[Publisher]:
    """One that reaches Kafka through the proxy alone."""
    behind = topics.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{proxy.port}"})
    publisher = Publisher(behind, "/wabus/test", patience)
    await publisher.start()
    yield publisher
    await publisher.stop()


async def test_stopping_a_consumer_leaves_no_task_of_it_though_kafka_does_not_answer(
    topics: KafkaSettings, proxy: Proxy
) -> None:
    before = asyncio.all_tasks()
    consumer = AIOKafkaConsumer(**client_options(topics), group_id=f"{topics.topic_prefix}stopped")
    await consumer.start()
    consumer.subscribe([topic_name(topics, MESSAGES)])
    async with asyncio.timeout(30):
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=100)
    proxy.stall()
    await stop_consumer(consumer)
    proxy.flow()
    left = asyncio.all_tasks() - before
    if left:
        _, left = await asyncio.wait(left, timeout=5)
    assert not left


async def test_a_publisher_connects_again_whatever_connecting_raised(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    errors = iter([KafkaConnectionError(), RuntimeError("of the client's own")])
    bootstrap = AIOKafkaClient.bootstrap

    async def troubled(client: AIOKafkaClient) -> None:
        if error := next(errors, None):
            raise error
        await bootstrap(client)

    monkeypatch.setattr(AIOKafkaClient, "bootstrap", troubled)
    publisher = Publisher(topics, "/wabus/test")

    async def available() -> bool:
        return publisher.available

    await publisher.start()
    assert not publisher.available
    await eventually(available)
    await publisher.stop()


def status(number: int, contact: str = "16505551234") -> Event:
    return MessageStatusChanged(
        id=f"status-{number}",
        time=datetime.now(UTC),
        waba_id="1",
        phone_number_id="2",
        display_phone_number=None,
        wamid=f"wamid.{number}",
        contact=contact,
        status="sent",
        error_codes=[],
        value={},
    )


async def written(topics: KafkaSettings) -> int:
    """Records in the topic of messages, whoever was told of them."""
    return sum((await end_positions(topics, MESSAGES)).values())


async def test_answers_that_come_in_pieces_are_put_together(publisher: Publisher, proxy: Proxy) -> None:
    proxy.largest, proxy.delay = 3, 0.0001
    positions = await publisher.publish([status(number) for number in range(3)])
    assert [position.offset for position in positions] == [0, 1, 2]


async def test_what_kafka_took_before_its_answer_was_lost_is_not_written_again(
    topics: KafkaSettings, publisher: Publisher, proxy: Proxy, eventually: Eventually
) -> None:
    await publisher.publish([status(0)])
    proxy.answering = False
    publishing = asyncio.create_task(publisher.publish([status(1), status(2)]))

    async def taken() -> bool:
        return await written(topics) == 3

    await eventually(taken)
    assert not publishing.done()
    proxy.answering = True
    proxy.cut()
    assert [position.offset for position in await publishing] == [1, 2]
    assert publisher.available
    assert [position.offset for position in await publisher.publish([status(3)])] == [3]
    assert await written(topics) == 4


async def test_a_connection_that_was_reset_meanwhile_is_replaced_and_the_order_kept(
    topics: KafkaSettings, publisher: Publisher, proxy: Proxy
) -> None:
    expected: list[int] = []
    found: list[int] = []
    for number in range(10):
        publishing = asyncio.create_task(publisher.publish([status(number)]))
        if number % 2:
            await asyncio.sleep(0)
        proxy.cut()
        found += [position.offset for position in await publishing]
        expected.append(number)
    assert found == expected
    assert await written(topics) == 10


async def test_publishes_of_many_tasks_each_learn_where_their_records_are(
    topics: KafkaSettings, publisher: Publisher
) -> None:
    publishes = [publisher.publish([status(2 * n, f"1{n}"), status(2 * n + 1, f"2{n}")]) for n in range(200)]
    found: list[Position] = []
    for positions in await asyncio.gather(*publishes):
        assert len(positions) == 2
        found += positions
    assert len({(position.partition, position.offset) for position in found}) == 400
    assert await written(topics) == 400


async def test_stopping_waits_for_what_is_under_way_and_takes_no_more(topics: KafkaSettings, proxy: Proxy) -> None:
    behind = topics.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{proxy.port}"})
    publisher = Publisher(behind, "/wabus/test")
    await publisher.start()
    proxy.delay = 0.1
    publishing = asyncio.create_task(publisher.publish([status(0)]))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(publisher.stop())
    await asyncio.sleep(0)
    with pytest.raises(KafkaUnavailable):
        await publisher.publish([status(1)])
    assert len(await publishing) == 1
    await stopping
    assert await written(topics) == 1


@pytest.mark.parametrize("patience", [Patience(acknowledge=2.0)])
async def test_what_waits_longer_than_kafka_should_take_is_told_and_then_written_once(
    topics: KafkaSettings, publisher: Publisher, proxy: Proxy, eventually: Eventually
) -> None:
    await publisher.publish([status(0)])
    proxy.answering = False
    with pytest.raises(KafkaUnavailable):
        await publisher.publish([status(1)])
    assert not publisher.available
    with pytest.raises(KafkaUnavailable):
        await publisher.publish([status(2)])
    proxy.answering = True

    async def back() -> bool:
        return publisher.available

    await eventually(back)
    assert [position.offset for position in await publisher.publish([status(2)])] == [2]
    assert await written(topics) == 3


async def test_stopping_tells_those_whom_kafka_does_not_answer_and_leaves_nothing_that_would_write_later(
    topics: KafkaSettings, proxy: Proxy
) -> None:
    behind = topics.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{proxy.port}"})
    others = asyncio.all_tasks()
    publisher = Publisher(behind, "/wabus/test", Patience(acknowledge=2.0))
    await publisher.start()
    await publisher.publish([status(0)])
    proxy.stall()
    publishing = asyncio.create_task(publisher.publish([status(1)]))
    await asyncio.sleep(0)
    await publisher.stop()
    with pytest.raises(KafkaUnavailable):
        await publishing
    left = {task for task in asyncio.all_tasks() - others if "Proxy" not in str(task.get_coro())}
    if left:
        _, left = await asyncio.wait(left, timeout=5)
    assert not left
    proxy.cut()
    proxy.flow()
    assert await written(topics) == 1


@pytest.mark.parametrize("patience", [Patience(acknowledge=1.0, outcome=2.0)])
async def test_a_batch_that_never_has_an_outcome_is_given_up_with_its_producer_and_its_partition_goes_on(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    send_batch = AIOKafkaProducer.send_batch
    lost = asyncio.get_running_loop().create_future()

    async def losing(producer: AIOKafkaProducer, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(AIOKafkaProducer, "send_batch", send_batch)
        return lost

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", losing)
    with pytest.raises(KafkaUnavailable):
        await publisher.publish([status(0)])

    async def taken() -> bool:
        try:
            return bool(await publisher.publish([status(0)]))
        except KafkaUnavailable:
            return False

    await eventually(taken)
    assert lost.cancelled()


async def test_a_partition_without_a_leader_is_asked_for_now_and_then_and_written_to_once_it_has_one(
    topics: KafkaSettings, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publisher.publish([status(0)])
    leaderless = iter([None, -1, -1])
    asked = 0
    leader_for_partition, update = ClusterMetadata.leader_for_partition, AIOKafkaClient.force_metadata_update

    def leader(cluster: ClusterMetadata, place: TopicPartition) -> int | None:
        return next(leaderless, leader_for_partition(cluster, place))

    def updating(client: AIOKafkaClient) -> Any:
        nonlocal asked
        asked += 1
        return update(client)

    monkeypatch.setattr(ClusterMetadata, "leader_for_partition", leader)
    monkeypatch.setattr(AIOKafkaClient, "force_metadata_update", updating)
    assert [position.offset for position in await publisher.publish([status(1)])] == [1]
    assert asked == 3
    assert await written(topics) == 2


async def test_who_publishes_again_at_once_when_told_that_kafka_is_silent_is_told_too(
    topics: KafkaSettings, proxy: Proxy, eventually: Eventually
) -> None:
    behind = topics.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{proxy.port}"})
    publisher = Publisher(behind, "/wabus/test", Patience(publish=0.3))
    await publisher.start()

    async def taken() -> bool:
        try:
            return bool(await publisher.publish([status(0)]))
        except KafkaUnavailable:
            return False

    await eventually(taken)
    proxy.stall()
    told: list[object] = []
    all_told = asyncio.Event()

    def again(error: object) -> None:
        told.append(error)
        if len(told) < 4:
            # To another partition, for this one says nothing.
            publisher.submit([Record(MESSAGES.name, b"%d" % len(told), b"value", [])], again)
        else:
            all_told.set()

    again(None)
    async with asyncio.timeout(10):
        await all_told.wait()
    assert all(isinstance(error, KafkaUnavailable) for error in told[1:])
    proxy.flow()
    await publisher.stop()

"""What a topic refuses for good, for its size or for want of a right, fails alone and by its name; the rest goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import ClientSession
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.admin import CreateAclsRequest
from local_stack import free_ports
from template_world import Client, Meta, Publish, Until, connection, synced_status
from wabus_cli.dead_letters import read_letters
from wabus_events import (
    ACCOUNTS,
    DEADLETTER,
    MESSAGES,
    TEMPLATES,
    Event,
    MessageReceived,
    Record,
    TemplateSyncFailed,
    Topic,
)
from wabus_gateway.app import GatewaySettings, create_app
from wabus_local.kafka import EmbeddedKafka
from wabus_runtime.kafka.clients import client_options, ensure_topics, topic_name
from wabus_runtime.kafka.end_offsets import end_positions
from wabus_runtime.kafka.outcomes import Position, RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.transactions import Fenced, TransactionalPublisher
from wabus_runtime.service.process import FRONT, serving
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually
from webhooks import conversation, encoded, signed, text, webhook

pytest_plugins = ["template_world"]

SMALL = {MESSAGES: 1024, TEMPLATES: 2048}  # bytes of a batch that the topic takes
TOO_LARGE = b"x" * 2000
# The numbers of Kafka's protocol: ResourceType, PatternType, AclOperation, AclPermissionType.
TOPIC, LITERAL, ALL, WRITE, DENY, ALLOW = 2, 3, 2, 4, 2, 3

EventsIn = Callable[[Topic], Awaitable[list[Event]]]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """One that looks at the ACLs that there are."""
    port, controller_port = free_ports(2)
    properties = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    home = tmp_path_factory.mktemp("kafka")
    broker = EmbeddedKafka(home, port, controller_port=controller_port, properties=properties)
    asyncio.run(broker.start(120))
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture
async def admin(environment: dict[str, str]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options(load(KafkaSettings)))
    await admin.start()
    yield admin
    await admin.close()


@pytest.fixture
async def topics(admin: AIOKafkaAdminClient) -> KafkaSettings:
    """Two of them take less than others."""
    settings = load(KafkaSettings)
    made = [
        NewTopic(topic_name(settings, topic), topic.partitions, 1, topic_configs={"max.message.bytes": str(most)})
        for topic, most in SMALL.items()
    ]
    await admin.create_topics(made)
    await ensure_topics(settings)
    return settings


async def forbid(admin: AIOKafkaAdminClient, settings: KafkaSettings, topic: Topic, *, hidden: bool = False) -> None:
    """Nobody may write to it any more; nor see it, if it is `hidden`."""
    inner: Any = admin
    for operation, permission in [(WRITE, DENY)] + [(ALL, ALLOW)] * (not hidden):
        request = CreateAclsRequest(
            TOPIC, topic_name(settings, topic), LITERAL, "User:ANONYMOUS", "*", operation, permission
        )
        answer = await inner._send_to_controller(request)
        assert [code for code, _ in answer.creation_responses] == [0]


def record(value: bytes, topic: Topic = MESSAGES, key: bytes = b"key") -> Record:
    return Record(topic.name, key, value, [])


async def written(settings: KafkaSettings, topic: Topic) -> int:
    return sum((await end_positions(settings, topic)).values())


async def test_a_record_that_is_too_large_for_its_topic_fails_alone_and_the_order_holds(
    topics: KafkaSettings, publisher: Publisher
) -> None:
    values = [b"0", b"1", TOO_LARGE, b"3", b"4", TOO_LARGE, b"6"]
    ends = await asyncio.gather(
        *(publisher.publish_records([record(value)]) for value in values), return_exceptions=True
    )
    positions: list[Position] = []
    for value, end in zip(values, ends, strict=True):
        if value is TOO_LARGE:
            assert isinstance(end, RecordRefused)
            assert end.reasons == {0: "MessageSizeTooLargeError"}
        else:
            assert isinstance(end, list), end
            positions += end
    assert [position.offset for position in positions] == list(range(5))
    assert publisher.available
    (after,) = await publisher.publish_records([record(b"7")])
    assert after.offset == 5
    assert await written(topics, MESSAGES) == 6


async def test_what_is_published_with_a_refused_record_is_there_and_the_record_is_named(
    topics: KafkaSettings, publisher: Publisher
) -> None:
    records = [record(b"0"), record(TOO_LARGE, key=b"another"), record(b"2", ACCOUNTS)]
    with pytest.raises(RecordRefused, match=r"messages\.v1") as refused:
        await publisher.publish_records(records)
    assert refused.value.reasons == {1: "MessageSizeTooLargeError"}
    assert (await written(topics, MESSAGES), await written(topics, ACCOUNTS)) == (1, 1)


async def test_a_topic_of_1_kb_takes_many_small_records_that_are_more_together(
    topics: KafkaSettings, publisher: Publisher
) -> None:
    for _ in range(2):
        positions = await publisher.publish_records([record(b"%300d" % number) for number in range(50)])
        assert [position.offset for position in positions] == list(range(positions[0].offset, positions[0].offset + 50))
    assert await written(topics, MESSAGES) == 100


@pytest.mark.parametrize("hidden", [False, True], ids=["not written to", "not seen"])
async def test_without_the_right_to_one_topic_the_others_are_written_to(
    topics: KafkaSettings, publisher: Publisher, admin: AIOKafkaAdminClient, eventually: Eventually, hidden: bool
) -> None:
    await forbid(admin, topics, MESSAGES, hidden=hidden)
    later = Publisher(topics, "/wabus/test")

    async def forbidden() -> bool:
        try:
            await publisher.publish_records([record(b"before")])
        except RecordRefused:
            return True
        return False

    await eventually(forbidden)
    await later.start()
    for one in (publisher, later):
        refused, taken = await asyncio.gather(
            one.publish_records([record(b"%d" % number) for number in range(10)]),
            one.publish_records([record(b"value", ACCOUNTS)]),
            return_exceptions=True,
        )
        assert isinstance(refused, RecordRefused)
        assert refused.reasons == dict.fromkeys(range(10), "TopicAuthorizationFailedError")
        assert isinstance(taken, list)
        assert one.available
    await later.stop()


@pytest.mark.parametrize("hidden", [False, True], ids=["not written to", "not seen"])
async def test_a_transaction_with_what_a_topic_refuses_is_an_error_by_its_name_and_the_next_one_goes_on(
    topics: KafkaSettings, admin: AIOKafkaAdminClient, eventually: Eventually, hidden: bool
) -> None:
    publisher = TransactionalPublisher(topics, "/wabus/test", "refused")
    await publisher.publish([record(b"0", ACCOUNTS), record(b"0")])
    with pytest.raises(RecordRefused, match="MessageSizeTooLarge"):
        await publisher.publish([record(b"1", ACCOUNTS), record(TOO_LARGE)])
    (position,) = await publisher.publish([record(b"2", ACCOUNTS)])
    assert position.offset > 0
    await forbid(admin, topics, MESSAGES, hidden=hidden)

    async def forbidden() -> bool:
        try:
            await publisher.publish([record(b"3", ACCOUNTS), record(b"3")])
        except RecordRefused as refused:
            return set(refused.reasons.values()) == {"TopicAuthorizationFailedError"}
        return False

    await eventually(forbidden)
    assert await publisher.publish([record(b"4", ACCOUNTS)])
    await publisher.stop()


async def test_a_publisher_whose_record_was_refused_takes_nothing_back_that_another_has_taken_over(
    topics: KafkaSettings,
) -> None:
    old, new = (TransactionalPublisher(topics, "/wabus/test", "taken-over") for _ in range(2))
    with pytest.raises(RecordRefused):
        await old.publish([record(TOO_LARGE)])
    await new.publish([record(b"0")])
    with pytest.raises(Fenced):
        await old.publish([record(b"1")])
    await old.stop()
    await new.stop()


@pytest.fixture(params=["front", "aiohttp alone"])
async def gateway(topics: KafkaSettings, request: pytest.FixtureRequest) -> AsyncIterator[ClientSession]:
    app = create_app(load(GatewaySettings))
    if request.param != "front":
        del app[FRONT]
    async with serving(app, "127.0.0.1", 0) as ports, ClientSession(f"http://127.0.0.1:{ports[0]}") as client:
        yield client


async def deliver(gateway: ClientSession, wamid: str, size: int = 10) -> tuple[int, str]:
    body = encoded(webhook(conversation(messages=[text(wamid, body="x" * size)])))
    async with gateway.post("/webhooks/whatsapp", data=body, headers=signed(body)) as answer:
        return answer.status, await answer.text()


async def test_a_webhook_that_can_never_be_written_is_not_delivered_for_7_days_but_kept_as_a_dead_letter(
    gateway: ClientSession, topics: KafkaSettings
) -> None:
    answers = [(await deliver(gateway, f"wamid.{number}", size))[0] for number, size in enumerate((10, 2000, 10, 2000))]
    assert answers == [200] * 4
    letters = await read_letters(topics)
    assert [letter.about for letter in letters] == [
        {"consumer": "gateway", "topic": MESSAGES.name, "reason": "MessageSizeTooLargeError"}
    ] * 2
    assert all(b"wamid." in (letter.record.value or b"") for letter in letters)
    assert {dict(letter.record.headers)["ce_type"] for letter in letters} == {MessageReceived.type.encode()}
    assert await written(topics, MESSAGES) == 2
    assert (await gateway.get("/readyz")).status == 200


async def test_a_webhook_that_not_even_the_dead_letters_take_is_an_error_of_its_own(
    gateway: ClientSession, topics: KafkaSettings, admin: AIOKafkaAdminClient, eventually: Eventually
) -> None:
    assert (await deliver(gateway, "wamid.0"))[0] == 200
    await forbid(admin, topics, DEADLETTER)

    async def refused() -> bool:
        status, told = await deliver(gateway, "wamid.1", 2000)
        return status == 500 and "not_storable" in told

    await eventually(refused)
    assert (await deliver(gateway, "wamid.2"))[0] == 200
    metrics = await (await gateway.get("/metrics")).text()
    assert 'wabus_webhooks_total{outcome="refused_by_kafka"}' in metrics
    assert (await gateway.get("/readyz")).status == 200


async def test_a_sync_whose_events_kafka_refuses_fails_by_its_name_and_does_not_start_again(
    service: Client,
    meta: Meta,
    publish: Publish,
    until: Until,
    bearer: Callable[..., dict[str, str]],
    eventually: Eventually,
) -> None:
    await publish(connection(meta.token))
    [failed] = await until(TemplateSyncFailed)
    assert failed.code == "event_refused"
    await eventually(lambda: synced_status(service, bearer()))
    answer = await service.post("/templates/sync", headers={**bearer(), "Prefer": "wait=20"})
    result = await answer.json()
    assert (answer.status, result["status"], result["syncs"][0]["error"]["code"]) == (200, "failed", "event_refused")
    assert len(await until(TemplateSyncFailed, 2)) == 2
    assert (await service.get("/readyz")).status == 200

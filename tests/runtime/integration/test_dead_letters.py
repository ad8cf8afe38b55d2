"""Dead letters on real Kafka: set aside, listed, put back with their ids, given up, and never a whole topic of them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from click.testing import CliRunner
from structlog.testing import capture_logs
from wabus_cli.dead_letters import Letter, read_letters, settle
from wabus_cli.dead_letters import deadletter as command
from wabus_events import MESSAGES, Event, MessageReceived, Record, Topic, encode, fact_id
from wabus_events.models.topics import MAX_RECORD_BYTES
from wabus_events.subscriber import TooManyDeadLetters
from wabus_runtime.kafka.clients import client_options, topic_name
from wabus_runtime.kafka.dead_letter_limits import FEW
from wabus_runtime.kafka.dead_letters import SKIPPED, DeadLetters
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.service.process import background, build_app
from wabus_runtime.settings import IdentitySettings
from waiting import Eventually

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]


def message(number: int, org_id: str | None = None) -> MessageReceived:
    return MessageReceived(
        id=fact_id(MessageReceived.type, str(number)),
        time=datetime(2026, 1, 1, tzinfo=UTC),
        org_id=org_id,
        waba_id="7",
        phone_number_id="8",
        wamid=str(number),
        contact="9",
        message_type="text",
        value={"text": {"body": "private words"}},
        source="/wabus/gateway",
    )


def consumed(number: int, org_id: str | None = None) -> ConsumerRecord[bytes, bytes]:
    record = encode(message(number, org_id), "/wabus/gateway")
    assert record.value
    headers = [*record.headers, ("from-elsewhere", b"kept")]
    return ConsumerRecord("", 3, number, 0, 0, record.key, record.value, None, 0, 0, headers)


async def set_aside(settings: IdentitySettings, *numbers: int, org_id: str | None = None) -> None:
    letters = DeadLetters(settings, "counter")
    try:
        for number in numbers:
            await letters.put(consumed(number, org_id), MESSAGES.name, ValueError("private words"))
    finally:
        await letters.close()


async def test_a_letter_keeps_the_record_and_says_where_it_came_from_and_why(topics: IdentitySettings) -> None:
    await set_aside(topics, 1)
    (letter,) = await read_letters(topics)
    original = consumed(1)
    assert letter.record == Record(MESSAGES.name, original.key or b"", original.value, list(original.headers))
    assert letter.about["reason"] == "ValueError"
    assert (letter.about["topic"], letter.about["partition"], letter.about["offset"]) == ("messages.v1", "3", "1")
    assert "private" not in letter.line


async def test_a_replayed_letter_goes_back_with_its_id_and_is_open_no_more(
    topics: IdentitySettings, events_in: EventsIn
) -> None:
    await set_aside(topics, 1, 2)
    letters = await read_letters(topics)
    await settle(topics, letters[:1], "replayed")
    assert [event.id for event in await events_in(MESSAGES)] == [dict(letters[0].record.headers)["ce_id"].decode()]
    assert [letter.id for letter in await read_letters(topics)] == [letters[1].id]


async def test_a_dropped_letter_is_listed_no_more_and_goes_nowhere(
    topics: IdentitySettings, events_in: EventsIn
) -> None:
    await set_aside(topics, 1)
    await settle(topics, await read_letters(topics), "dropped")
    assert await read_letters(topics) == []
    assert await events_in(MESSAGES) == []


async def test_the_command_lists_shows_replays_and_never_quotes_unasked(
    topics: IdentitySettings, events_in: EventsIn
) -> None:
    await set_aside(topics, 1, 2, 3)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    listed = await asyncio.to_thread(run, "list")
    assert "3 open" in listed
    letter_id = listed.split()[0]
    shown = await asyncio.to_thread(run, "show", letter_id)
    assert "MessageReceived" in shown
    assert "private words" not in listed + shown
    assert "private words" in await asyncio.to_thread(run, "show", "--content", letter_id)
    assert "1 dropped" in await asyncio.to_thread(run, "drop", letter_id)
    assert "2 replayed" in await asyncio.to_thread(run, "replay", "--all", "--consumer", "counter")
    assert {event.id for event in await events_in(MESSAGES)} == {message(2).id, message(3).id}


async def test_a_letter_that_is_not_there_is_named(topics: IdentitySettings) -> None:
    result = await asyncio.to_thread(CliRunner().invoke, command, ["replay", "0:99"])
    assert result.exit_code == 1
    assert "0:99" in result.output


async def test_bad_records_of_many_organisations_stop_the_consumer_for_good(
    topics: IdentitySettings, serve: Serve, eventually: Eventually
) -> None:
    strict = topics.model_copy(update={"dead_letters_allowed": 2})
    runs = 0

    async def consume(ready: Callable[[], None]) -> None:
        nonlocal runs
        runs += 1
        ready()
        for number in range(FEW + 1):  # a consumer that starts again has no new allowance
            await set_aside(strict, 100 * runs + number, org_id=f"org-{runs}-{number}")
        raise ConnectionError

    app = build_app([])
    background(app, "counter", consume)
    client = await serve(app)

    async def stopped() -> bool:
        answer = await (await client.get("/readyz")).json()
        return answer["waiting_for"].get("counter") == "stopped: too many dead letters"

    await eventually(stopped)
    assert runs == 2
    assert len(await read_letters(topics)) == FEW + 2
    assert (await client.get("/healthz")).status == 200


async def test_one_organisations_bad_records_fill_no_dead_letters_and_are_told_once(topics: IdentitySettings) -> None:
    strict = topics.model_copy(update={"dead_letters_allowed": 2})
    before = SKIPPED.labels("counter")._value.get()  # pyright: ignore[reportPrivateUsage]
    with capture_logs() as logged:
        await set_aside(strict, *range(50), org_id="a")
        await set_aside(strict, 50, 51, org_id="b")
    letters = await read_letters(topics)
    whose = Counter(dict(letter.record.headers)["ce_orgid"].decode() for letter in letters)
    assert whose == {"a": 2, "b": 2}
    assert SKIPPED.labels("counter")._value.get() - before == 48  # pyright: ignore[reportPrivateUsage]
    (line,) = [line for line in logged if line["action"] == "record_skipped"]
    assert (line["org_id"], line["topic"], line["partition"], line["offset"]) == ("a", "messages.v1", 3, 2)


async def test_what_is_nowhere_else_is_refused_rather_than_skipped(topics: IdentitySettings) -> None:
    letters = DeadLetters(topics.model_copy(update={"dead_letters_allowed": 2}), "gateway")
    record = encode(message(1, "a"), "/wabus/gateway")
    try:
        for _ in range(2):
            await letters.keep(record, "too large")
        with pytest.raises(TooManyDeadLetters):
            await letters.keep(record, "too large")
        await letters.keep(encode(message(2, "b"), "/wabus/gateway"), "too large")
    finally:
        await letters.close()
    assert len(await read_letters(topics)) == 3


async def test_a_record_too_large_for_a_letter_is_set_aside_all_the_same_and_replayed_from_where_it_was(
    topics: IdentitySettings, events_in: EventsIn
) -> None:
    largest, letter = await set_aside_the_largest(topics)
    assert letter.record.value is None
    assert letter.about["left_out"] == str(len(largest.key or b"") + len(largest.value or b""))
    assert f"{largest.partition}@{largest.offset}" in letter.line
    assert "wabus.MessageReceived.v1" in letter.line
    assert await settle(topics, [letter], "replayed") == (1, [], 0)
    first, second = await events_in(MESSAGES)
    assert first == second
    assert await read_letters(topics) == []


async def test_a_letter_whose_record_is_gone_stays_and_is_named(topics: IdentitySettings) -> None:
    largest, letter = await set_aside_the_largest(topics)
    admin = AIOKafkaAdminClient(**client_options(topics))
    await admin.start()
    place = TopicPartition(largest.topic, largest.partition)
    await admin.delete_records({place: RecordsToDelete(before_offset=largest.offset + 1)})
    await admin.close()
    assert await settle(topics, [letter], "replayed") == (0, [letter], 0)
    result = await asyncio.to_thread(CliRunner().invoke, command, ["replay", "--all"])
    assert result.exit_code == 1
    assert letter.id in result.output
    assert await settle(topics, [letter], "dropped") == (1, [], 0)
    assert await read_letters(topics) == []


async def set_aside_the_largest(topics: IdentitySettings) -> tuple[ConsumerRecord[bytes, bytes], Letter]:
    """The largest event that the topics take, as it is consumed, and its letter."""
    event = message(1).model_copy(update={"value": {"text": {"body": ""}}})
    record = encode(event, "/wabus/gateway")
    headers = sum(len(name) + len(content) + 4 for name, content in record.headers)
    body = "x" * (MAX_RECORD_BYTES - len(record.value or b"") - len(record.key) - headers - 100)  # 61 are the batch's
    publisher = Publisher(topics, "/wabus/gateway")
    await publisher.start()
    await publisher.publish([event.model_copy(update={"value": {"text": {"body": body}}})])
    await publisher.stop()
    consumer = AIOKafkaConsumer(
        topic_name(topics, MESSAGES), **client_options(topics), auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    largest = await consumer.getone()
    await consumer.stop()
    letters = DeadLetters(topics, "counter")
    await letters.put(largest, MESSAGES.name, ValueError())
    await letters.close()
    (letter,) = await read_letters(topics)
    return largest, letter

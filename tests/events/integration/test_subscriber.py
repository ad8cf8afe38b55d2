"""The subscriber on real Kafka: commits, redelivery, rebalances, dead letters, and a wheel that stands alone."""

import asyncio
import os
import signal
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

import orjson
import pydantic
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from wabus_contract.catalogue_page import SUBSCRIBER
from wabus_events import AccountConnected, Event, MessageReceived, TemplatesSynced, encode
from wabus_events.kafka import Kafka
from wabus_events.subscriber import Retry, run, subscribe
from wabus_events.subscriber.source import KafkaAway, NoSuchTopic
from wabus_events.testing import an
from wabus_runtime.kafka.clients import client_options
from wabus_runtime.kafka.producer_session import new_producer
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.transactions import TransactionalPublisher
from wabus_runtime.settings import KafkaSettings
from waiting import WAIT, Eventually

ROOT = Path(__file__).parents[3]


@pytest.fixture
def source(topics: KafkaSettings) -> Kafka:
    return Kafka.from_environment()


async def publish(settings: KafkaSettings, *events: Event) -> None:
    publisher = Publisher(settings, "/wabus/test")
    await publisher.start()
    await publisher.publish(events)
    await publisher.stop()


async def first(source: Kafka, count: int, *types: type[Event], group: str = "billing") -> list[Event]:
    """So many events; the last one is committed too."""
    seen: list[Event] = []
    subscription = subscribe(source, *types, group=source.topic_prefix + group)
    async with asyncio.timeout(30):
        async for event in subscription:
            seen.append(event)
            if len(seen) == count:
                subscription.stop()
    return seen


async def test_a_group_goes_on_where_it_left_off(topics: KafkaSettings, source: Kafka) -> None:
    events = [an(TemplatesSynced) for _ in range(4)]
    await publish(topics, *events[:3], an(AccountConnected))
    assert [event.id for event in await first(source, 3, TemplatesSynced)] == [event.id for event in events[:3]]
    await publish(topics, events[3])
    assert [event.id for event in await first(source, 1, TemplatesSynced)] == [events[3].id]


async def test_what_was_in_hand_when_the_subscriber_died_comes_again(topics: KafkaSettings, source: Kafka) -> None:
    event = an(TemplatesSynced)
    await publish(topics, event)

    async def dies() -> None:
        async for _ in subscribe(source, TemplatesSynced, group=source.topic_prefix + "billing"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await dies()
    assert [again.id for again in await first(source, 1, TemplatesSynced)] == [event.id]


async def test_a_client_that_has_stopped_reading_is_found_out(source: Kafka) -> None:
    reader = await source.open(["accounts.v1"], group=f"{source.topic_prefix}billing", start="earliest", writes=[])
    try:
        assert await reader.next(0.1) is None
        inner: Any = reader
        inner._consumer._fetcher.error_future.cancel()
        await asyncio.wait([inner._consumer._fetcher.error_future], timeout=5)
        with pytest.raises(KafkaAway):
            await reader.next(0.1)
    finally:
        await reader.close()


async def test_a_transaction_that_was_given_up_is_never_seen(topics: KafkaSettings, source: Kafka) -> None:

    record = encode(an(TemplatesSynced), "/wabus/test")
    producer = new_producer(topics, transactional_id=topics.topic_prefix + "given-up")
    await producer.start()
    await producer.begin_transaction()
    await producer.send(topics.topic_prefix + record.topic, record.value, record.key, headers=record.headers)
    await producer.flush()
    await producer.abort_transaction()
    await producer.stop()
    kept = TransactionalPublisher(topics, "/wabus/test", "kept")
    await kept.start()
    event = an(TemplatesSynced)
    await kept.publish([event])
    await kept.stop()
    assert [seen.id for seen in await first(source, 1, TemplatesSynced)] == [event.id]


async def test_members_of_a_group_share_the_work_and_a_leaver_loses_nothing(
    topics: KafkaSettings, source: Kafka, eventually: Eventually
) -> None:
    events = [an(TemplatesSynced, waba_id=str(number)) for number in range(60)]
    seen: dict[str, set[str]] = {"a": set(), "b": set()}
    stops = {name: asyncio.Event() for name in seen}

    async def member(name: str) -> None:
        async def handle(event: Event) -> None:
            seen[name].add(event.id)

        await run(handle, source, TemplatesSynced, group=source.topic_prefix + "g", stop=stops[name])

    members = {name: asyncio.create_task(member(name)) for name in seen}

    async def both_work() -> bool:
        await publish(topics, *(an(TemplatesSynced, waba_id=str(number)) for number in range(20)))
        return all(seen.values())

    async def all_seen() -> bool:
        return {event.id for event in events} <= seen["a"] | seen["b"]

    await eventually(both_work)
    await publish(topics, *events[:30])
    stops["a"].set()
    await members["a"]
    await publish(topics, *events[30:])
    await eventually(all_seen)
    stops["b"].set()
    await members["b"]


LARGE_MESSAGE = an(MessageReceived).model_copy(update={"value": {"text": {"body": "x" * 2_000_000}}})


@pytest.mark.parametrize(
    ("refused", "left_out"),
    [(an(TemplatesSynced), False), (LARGE_MESSAGE, True)],
    ids=["whole", "but for what is too large for their topic"],
)
async def test_what_a_handler_refuses_goes_to_the_teams_own_dead_letters(
    refused: Event, left_out: bool, topics: KafkaSettings, source: Kafka
) -> None:
    name = topics.topic_prefix + "billing.dead"
    admin = AIOKafkaAdminClient(**client_options(topics))
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "1000000"})])
    await admin.close()
    stop = asyncio.Event()
    await publish(topics, refused)

    async def refuses(event: Event) -> None:
        stop.set()
        raise ValueError("private words")

    await run(
        refuses,
        source,
        type(refused),
        group=topics.topic_prefix + "billing",
        dead_letters=name,
        retry=Retry(attempts=2, first=0),
        stop=stop,
    )
    consumer = AIOKafkaConsumer(name, **client_options(topics), auto_offset_reset="earliest")
    await consumer.start()
    letter = await asyncio.wait_for(consumer.getone(), WAIT)
    await consumer.stop()
    headers = dict(letter.headers)
    assert headers["ce_id"].decode() == refused.id
    assert headers["wabus_dead_reason"] == b"ValueError"
    assert (letter.value is None, "wabus_dead_left_out" in headers) == (left_out, left_out)


async def test_a_wrong_prefix_is_named(topics: KafkaSettings) -> None:
    wrong = Kafka(topics.kafka_bootstrap_servers, topic_prefix="nobody.")
    with pytest.raises(NoSuchTopic, match=r"nobody\.templates"):
        await first(wrong, 1, TemplatesSynced)


async def test_a_dead_letter_topic_that_is_not_there_is_named_before_anything_is_read(source: Kafka) -> None:
    missing = source.topic_prefix + "nobody-made-this"

    async def handle(event: TemplatesSynced) -> None:
        pytest.fail("an event was read")

    with pytest.raises(NoSuchTopic, match=f"{missing}.*create it"):
        await run(handle, source, TemplatesSynced, group=source.topic_prefix + "b", dead_letters=missing)


async def test_a_kafka_that_is_not_there_is_named() -> None:
    with pytest.raises(KafkaAway, match=r"127\.0\.0\.1:9"):
        await first(Kafka("127.0.0.1:9"), 1, TemplatesSynced)


SCRIPT = """
import asyncio
from wabus_events import MessageReceived
from wabus_contract.catalogue_page import SUBSCRIBER
from wabus_events.kafka import Kafka
from wabus_events.subscriber import run, stop_on_signals

async def handle(event):
    print("begun", flush=True)
    await asyncio.sleep(0.5)
    print("ended", event.id, flush=True)

async def main():
    kafka = Kafka.from_environment()
    await run(handle, kafka, MessageReceived, group=kafka.topic_prefix + "crm", stop=stop_on_signals())

asyncio.run(main())
print("left", flush=True)
"""


async def test_sigterm_lets_the_event_in_hand_be_finished_and_committed(topics: KafkaSettings, source: Kafka) -> None:
    events = [an(MessageReceived), an(MessageReceived)]
    await publish(topics, *events)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGTERM)
        rest = (await process.stdout.read()).decode().split()
        await process.wait()
    assert rest == ["ended", events[0].id, "left"]
    assert [event.id for event in await first(source, 1, MessageReceived, group="crm")] == [events[1].id]


async def test_the_dead_letter_topic_is_made_as_the_document_says(topics: KafkaSettings, source: Kafka) -> None:
    text = (ROOT / "docs/subscribe.md").read_text(encoding="utf-8")
    (made,) = (block.partition("```")[0] for block in text.split("```python\n")[1:] if "NewTopic" in block)
    name = f"{topics.topic_prefix}billing.deadletter"
    script = made.replace("127.0.0.1:19092", topics.kafka_bootstrap_servers).replace("billing.deadletter", name)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    await publish(topics, an(TemplatesSynced))

    async def refuses(event: TemplatesSynced) -> None:
        stop.set()
        raise ValueError

    stop, once = asyncio.Event(), Retry(attempts=1)
    group = f"{topics.topic_prefix}billing"
    await run(refuses, source, TemplatesSynced, group=group, dead_letters=name, retry=once, stop=stop)


async def test_the_subscriber_on_the_catalogue_page_works_as_it_stands(topics: KafkaSettings) -> None:
    assert escape(SUBSCRIBER) in (ROOT / "docs/catalogue/index.html").read_text(encoding="utf-8")
    address = f'"{topics.kafka_bootstrap_servers}", topic_prefix="{topics.topic_prefix}"'
    script = SUBSCRIBER.replace('"127.0.0.1:19092"', address).replace('"billing"', f'"{topics.topic_prefix}billing"')
    await publish(
        topics, an(TemplatesSynced, org_id="acme", approved=3), an(AccountConnected, org_id="acme", waba_id="7")
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-u", "-c", script, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    async with asyncio.timeout(30):
        printed = {(await process.stdout.readline()).decode() for _ in range(2)}
        process.send_signal(signal.SIGTERM)
        await process.wait()
    assert printed == {"acme has 3 approved templates\n", "acme connected 7\n"}
    assert process.returncode == 0


LIGHT = ["pydantic", "pydantic_core", "annotated_types", "typing_extensions.py", "typing_inspection", "orjson"]


def test_the_wheel_stands_alone_with_light_dependencies(tmp_path: Path) -> None:
    site = Path(pydantic.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT / "libs/events",
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=60)
    python = tmp_path / "venv/bin/python"
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, *install], check=True, timeout=60, env={**os.environ, "PIP_NO_INPUT": "1"})
    (there,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    for name in LIGHT:
        (there / name).symlink_to(site / name)
    script = """
import sys, asyncio, orjson
from wabus_events import TemplatesSynced
from wabus_events.subscriber import subscribe
from wabus_events.testing import MemoryBus, an

async def main():
    bus = MemoryBus()
    await bus.publish(an(TemplatesSynced, approved=3))
    await bus.end()
    return [event.approved async for event in subscribe(bus, TemplatesSynced, group="billing")]

seen = asyncio.run(main())
print(orjson.dumps({"seen": seen, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}).decode())
"""
    done = subprocess.run([python, "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    answer = orjson.loads(done.stdout)
    assert answer["seen"] == [3]
    assert not {"wabus_runtime", "aiokafka", "aiohttp"} & set(answer["loaded"])

"""Alerts on real Kafka and HTTP: each change reaches the receiver in order, through its failures and ours."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr
from wabus_events import DEADLETTER, HealthChanged, fact_id
from wabus_health_projector.worker.alerts import AlertSettings, alerts
from wabus_runtime.kafka.clients import client_options, topic_name
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.outbox.outbox import Retries, deliver
from wabus_runtime.outbox.standard_webhook import headers_of, secrets_of
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.engine import project
from wabus_runtime.settings import DatabaseSettings, KafkaSettings, load
from waiting import WAIT, Eventually

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
START = datetime(2026, 3, 1, tzinfo=UTC)


def change(number: int, org_id: str = "demo") -> HealthChanged:
    time = START + timedelta(seconds=number)
    return HealthChanged(
        id=fact_id("change", org_id, number), time=time, org_id=org_id, to_status="failing", since=time
    )


@dataclass
class Receiver:
    """A platform's endpoint. `answers` are the statuses of its next answers; then it takes everything."""

    url: str = ""
    answers: list[int] = field(default_factory=list[int])
    refuse: set[str] = field(default_factory=set[str])
    seen: list[str] = field(default_factory=list[str])
    taken: list[str] = field(default_factory=list[str])

    async def receive(self, request: web.Request) -> web.Response:
        body, webhook_id = await request.read(), request.headers["webhook-id"]
        at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        expected = headers_of(webhook_id, body, secrets_of(SECRET), at)["webhook-signature"]
        assert request.headers["webhook-signature"] == expected
        status = 400 if webhook_id in self.refuse else self.answers.pop(0) if self.answers else 204
        self.seen.append(webhook_id)
        if status < 300:
            self.taken.append(webhook_id)
        return web.Response(status=status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/alerts", found.receive)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/alerts"))
        yield found


SOON = Retries(first=0.01, longest=0.1)


@asynccontextmanager
async def alerting(url: str, retries: Retries = SOON) -> AsyncGenerator[None]:
    settings = load(AlertSettings).model_copy(
        update={"alert_webhook_url": url, "alert_webhook_secret": SecretStr(SECRET)}
    )
    outbox = alerts(settings, retries)
    assert outbox
    ready = asyncio.Event()
    async with migrated_pool(load(DatabaseSettings), "wabus_health_projector") as pool:
        tasks = [
            asyncio.create_task(project(settings, pool, outbox.projection, ready.set)),
            asyncio.create_task(deliver(settings, pool, outbox, lambda: None)),
        ]
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([*tasks, waiting], timeout=WAIT, return_when=asyncio.FIRST_COMPLETED)
        try:
            assert ready.is_set(), [task.exception() for task in tasks if task.done()]
            yield
        finally:
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.wait([*tasks, waiting])


async def dead_letters(settings: KafkaSettings) -> int:
    consumer = AIOKafkaConsumer(**client_options(settings))
    await consumer.start()
    try:
        places = [TopicPartition(topic_name(settings, DEADLETTER), number) for number in range(DEADLETTER.partitions)]
        return sum((await consumer.end_offsets(places)).values())
    finally:
        await consumer.stop()


async def test_changes_arrive_signed_and_in_order_and_only_those_since_alerts_are_on(
    publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    await publisher.publish([change(0)])
    async with alerting(receiver.url):
        await publisher.publish([change(number) for number in range(1, 6)])

        async def all_taken() -> bool:
            return receiver.taken == [change(number).id for number in range(1, 6)]

        await eventually(all_taken)


async def test_what_the_receiver_could_not_take_is_sent_again_before_what_came_later(
    publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    receiver.answers = [503, 500, 429, 204, 503]
    async with alerting(receiver.url):
        await publisher.publish([change(1), change(2)])

        async def both_taken() -> bool:
            return receiver.taken == [change(1).id, change(2).id]

        await eventually(both_taken)
    assert receiver.seen == [change(1).id] * 4 + [change(2).id] * 2


async def test_what_the_receiver_never_takes_is_set_aside_and_the_rest_goes_on(
    topics: KafkaSettings, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    receiver.refuse = {change(1).id}
    async with alerting(receiver.url):
        await publisher.publish([change(1), change(2)])

        async def second_taken() -> bool:
            return receiver.taken == [change(2).id]

        await eventually(second_taken)
    assert receiver.seen.count(change(1).id) == SOON.attempts_refused
    assert await dead_letters(topics) == 1


@pytest.mark.long
async def test_what_was_not_delivered_before_a_stop_is_delivered_after_it(
    publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    receiver.answers = [204, 503]

    async def tried() -> bool:
        return len(receiver.seen) == 2

    async def all_taken() -> bool:
        return list(dict.fromkeys(receiver.taken)) == [change(number).id for number in range(3)]

    async with alerting(receiver.url, Retries(first=2)):
        await publisher.publish([change(number) for number in range(3)])
        await eventually(tried)
    async with alerting(receiver.url):
        await eventually(all_taken)

"""An outbox on real Kafka, PostgreSQL and HTTP: nobody's webhooks wait for another's endpoint, and none is lost."""

import asyncio
import socket
import threading
from collections import Counter as Multiset
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry, Counter
from support.forgetting import line
from wabus_cli.dead_letters import read_letters
from wabus_events import HEALTH, Event, HealthChanged, OrganisationForgotten, decode, encode, fact_id
from wabus_runtime.kafka.clients import client_options, partition_of, topic_name
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.outbox.outbox import (
    DELIVERIES_OF_ONE,
    DELIVERIES_TO_ONE,
    Attempt,
    Endpoint,
    Outbox,
    Retries,
    deliver,
)
from wabus_runtime.outbox.standard_webhook import secrets_of
from wabus_runtime.postgres.database import Connection, migrated_pool
from wabus_runtime.projection.engine import project
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, load
from waiting import WAIT, Eventually

NAME = "told"
SECRETS = secrets_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
SOON = Retries(first=0.01, longest=0.1)
START = datetime(2026, 3, 1, tzinfo=UTC)


def change(number: int, org_id: str) -> HealthChanged:
    time = START + timedelta(seconds=number)
    return HealthChanged(
        id=fact_id("change", org_id, number), time=time, org_id=org_id, to_status="failing", since=time
    )


@dataclass
class Receiver:
    """Takes webhooks of organisations that it has not been told to refuse, and keeps the `slow` ones waiting."""

    url: str = ""
    slow: set[str] = field(default_factory=set[str])
    refused: set[str] = field(default_factory=set[str])
    seen: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    taken: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    waiting: int = 0

    async def receive(self, request: web.Request) -> web.Response:
        org_id, webhook_id = (await request.read()).decode(), request.headers["webhook-id"]
        self.seen.append((org_id, webhook_id))
        if org_id in self.slow:
            self.waiting += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.waiting -= 1
        if org_id in self.refused:
            return web.Response(status=503)
        self.taken[org_id].append(webhook_id)
        return web.Response(status=204)


@dataclass
class ByOrganisation:
    """Each organisation's endpoint has its name, or is the one called `others`."""

    endpoints: dict[str, Endpoint]
    attempts: list[Attempt] = field(default_factory=list[Attempt])

    async def of(self, connection: Connection, events: Sequence[Event]) -> Sequence[Sequence[str]]:
        return [[event.org_id if event.org_id in self.endpoints else "others"] for event in events]

    async def find(self, name: str) -> Endpoint | None:
        return self.endpoints.get(name)

    async def attempted(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)


class ToAll(ByOrganisation):
    """All endpoints whose names begin with an organisation's are told of it."""

    async def of(self, connection: Connection, events: Sequence[Event]) -> Sequence[Sequence[str]]:
        return [[name for name in self.endpoints if name.startswith(f"{event.org_id}-")] for event in events]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/", found.receive)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/"))
        yield found


@pytest.fixture
async def pool(topics: IdentitySettings) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(DatabaseSettings), "wabus_runtime") as pool:
        yield pool


def outbox(endpoints: dict[str, Endpoint], retries: Retries = SOON) -> Outbox:
    def body_of(event: Event) -> bytes | None:
        return (event.org_id or "").encode()

    attempts = Counter("told", "Attempts.", ["outcome"], registry=CollectorRegistry())
    return Outbox(NAME, (HEALTH,), body_of, ByOrganisation(endpoints), attempts, retries)


@asynccontextmanager
async def telling(settings: IdentitySettings, pool: asyncpg.Pool, told: Outbox) -> AsyncGenerator[None]:
    """An outbox at work; what is published inside is told."""
    ready = asyncio.Event()
    tasks = [
        asyncio.create_task(project(settings, pool, told.projection, ready.set)),
        asyncio.create_task(deliver(settings, pool, told, lambda: None)),
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


async def test_an_endpoint_that_never_answers_delays_nobody_elses_webhooks(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    here = Endpoint(receiver.url, SECRETS, public_only=False)
    many = [f"slow-{number}" for number in range(3 * DELIVERIES_TO_ONE)]
    receiver.slow = set(many)
    async with telling(topics, pool, outbox({"others": here, "quick": here})):
        await publisher.publish([change(0, org_id) for org_id in many])

        async def all_that_may_wait_do() -> bool:
            return receiver.waiting == DELIVERIES_TO_ONE

        async def taken() -> bool:
            return receiver.taken["quick"] == [change(number, "quick").id for number in range(3)]

        await eventually(all_that_may_wait_do)
        await publisher.publish([change(number, "quick") for number in range(3)])
        await eventually(taken)
        assert receiver.waiting == DELIVERIES_TO_ONE


async def test_a_hundred_receivers_that_never_answer_delay_nobody_elses_webhooks(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    many = [f"slow-{number}" for number in range(100)]
    receiver.slow = set(many)
    told = outbox({name: Endpoint(receiver.url, SECRETS, public_only=False) for name in (*many, "quick")})
    async with telling(topics, pool, told):
        await publisher.publish([change(0, org_id) for org_id in many])

        async def all_wait() -> bool:
            return receiver.waiting == len(many)

        async def taken() -> bool:
            return receiver.taken["quick"] == [change(0, "quick").id]

        await eventually(all_wait)
        await publisher.publish([change(0, "quick")])
        await eventually(taken)


async def test_an_organisation_with_a_hundred_addresses_that_never_answer_delays_nobody_elses_webhooks(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    receiver.slow = {"slow"}
    names = ["quick-0", *(f"slow-{number}" for number in range(100))]
    told = outbox({})
    told = replace(told, endpoints=ToAll({name: Endpoint(receiver.url, SECRETS, public_only=False) for name in names}))
    async with telling(topics, pool, told):
        await publisher.publish([change(0, "slow")])

        async def all_that_may_wait_do() -> bool:
            return receiver.waiting == DELIVERIES_OF_ONE

        async def taken() -> bool:
            return receiver.taken["quick"] == [change(number, "quick").id for number in range(3)]

        await eventually(all_that_may_wait_do)
        await publisher.publish([change(number, "quick") for number in range(3)])
        await eventually(taken)
        assert receiver.waiting == DELIVERIES_OF_ONE


async def test_what_was_logged_while_nobody_told_it_for_ten_days_is_told_and_is_no_alert_any_more(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    told = outbox({"others": Endpoint(receiver.url, SECRETS, public_only=False)})
    long_ago = int((datetime.now(UTC) - timedelta(days=10)).timestamp() * 1000)

    async def log_long_ago(number: int) -> None:
        record = replace(encode(change(number, "org"), "/test"), timestamp_ms=long_ago)
        await publisher.publish_records([record])

    async def taken(count: int) -> bool:
        return len(receiver.taken["org"]) == count

    async with telling(topics, pool, told):
        await publisher.publish([change(0, "org")])
        await eventually(lambda: taken(1))
    await log_long_ago(1)
    async with telling(topics, pool, told):
        await eventually(lambda: taken(2))
    alerting = replace(told, oldest=timedelta(days=7))
    await log_long_ago(2)
    async with telling(topics, pool, alerting):
        await publisher.publish([change(3, "org")])
        await eventually(lambda: taken(3))
    assert receiver.taken["org"] == [change(number, "org").id for number in (0, 1, 3)]


async def test_receivers_of_many_that_refuse_everything_stop_nobody_elses_webhooks_and_lose_none(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    many = {f"org-{number}" for number in range(12)}
    receiver.refused = set(many)
    few = topics.model_copy(update={"dead_letters_allowed": 2})
    soon = replace(SOON, attempts=2)
    told = replace(
        outbox({"others": Endpoint(receiver.url, SECRETS, public_only=False)}, soon), held=timedelta(seconds=0.2)
    )

    async def set_aside() -> set[str | None]:
        letters = await read_letters(topics)
        return {decode(letter.record.headers, letter.record.value).org_id for letter in letters}

    async def the_others_are_held() -> bool:
        tried = Multiset(org_id for org_id, _ in receiver.seen)
        return all(tried[each] > 2 * soon.attempts for each in many - await set_aside())

    async def taken() -> bool:
        return receiver.taken["quick"] == [change(0, "quick").id]

    async def none_waits() -> bool:
        return await pool.fetchval("SELECT count(*) FROM outbox") == 0

    async with telling(few, pool, told):
        await publisher.publish([change(0, org_id) for org_id in many])
        await eventually(the_others_are_held)
        await publisher.publish([change(0, "quick")])
        await eventually(taken)
        receiver.refused = set()
        await eventually(none_waits)
    lost = await set_aside()
    assert len(lost) < len(many)
    assert {org_id for org_id, ids in receiver.taken.items() if ids} == {*many - lost, "quick"}


async def test_what_is_not_taken_of_one_organisation_holds_up_that_one_only(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    refused = "org-0"
    sharing = next(
        f"org-{number}"
        for number in range(1, 10_000)
        if partition_of(b"org-%d" % number, HEALTH.partitions) == partition_of(b"org-0", HEALTH.partitions)
    )
    receiver.refused = {refused}
    async with telling(topics, pool, outbox({"others": Endpoint(receiver.url, SECRETS, public_only=False)})):
        await publisher.publish([change(number, org_id) for number in range(3) for org_id in (refused, sharing)])

        async def taken() -> bool:
            return receiver.taken[sharing] == [change(number, sharing).id for number in range(3)]

        async def taken_at_last() -> bool:
            return receiver.taken[refused] == [change(number, refused).id for number in range(3)]

        await eventually(taken)
        assert {webhook_id for org_id, webhook_id in receiver.seen if org_id == refused} == {change(0, refused).id}
        receiver.refused = set()
        await eventually(taken_at_last)


async def test_nothing_waits_any_more_of_an_organisation_that_was_forgotten(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    receiver.refused = {"gone", "stays"}
    patient = Retries(first=60.0)
    async with telling(topics, pool, outbox({"others": Endpoint(receiver.url, SECRETS, public_only=False)}, patient)):
        await publisher.publish([change(number, org_id) for number in range(2) for org_id in receiver.refused])

        async def waiting() -> dict[str, int]:
            rows = await pool.fetch("SELECT lane, count(*) AS number FROM outbox GROUP BY lane")
            return {row["lane"]: row["number"] for row in rows}

        async def all_wait() -> bool:
            return await waiting() == {"gone": 2, "stays": 2}

        async def one_waits() -> bool:
            return await waiting() == {"stays": 2}

        await eventually(all_wait)
        await publisher.publish([line(OrganisationForgotten, "gone", datetime.now(UTC))])
        await eventually(one_waits)


async def test_several_processes_deliver_each_webhook_once_and_in_order(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    told = outbox({"others": Endpoint(receiver.url, SECRETS, public_only=False)})
    orgs = [f"org-{number}" for number in range(5)]
    expected = {org_id: [change(number, org_id).id for number in range(20)] for org_id in orgs}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(telling(topics, pool, told))
        other = await stack.enter_async_context(migrated_pool(load(DatabaseSettings), "wabus_runtime"))
        second = asyncio.create_task(deliver(topics, other, told, lambda: None))
        await publisher.publish([change(number, org_id) for number in range(20) for org_id in orgs])

        async def all_taken() -> bool:
            return receiver.taken == expected

        await eventually(all_taken)
        second.cancel()
        await asyncio.wait([second])


async def test_attempts_count_on_after_a_restart_and_the_last_is_a_dead_letter(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    receiver.refused = {"org"}
    told = outbox({"others": Endpoint(receiver.url, SECRETS, public_only=False)}, replace(SOON, attempts=4, first=0.5))

    async def tried() -> bool:
        return len(receiver.seen) >= 2

    async def set_aside() -> bool:
        return len(await read_letters(topics)) == 1

    async with telling(topics, pool, told):
        await publisher.publish([change(0, "org")])
        await eventually(tried)
    async with telling(topics, pool, told):
        await eventually(set_aside)
    (letter,) = await read_letters(topics)
    assert len(receiver.seen) == 4
    assert (letter.about["consumer"], letter.about["reason"]) == (NAME, "NotDelivered")
    assert decode(letter.record.headers, letter.record.value).id == change(0, "org").id


async def test_webhooks_of_lost_tables_are_delivered_again_from_where_kafka_was_told_that_all_is(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    told = outbox({"others": Endpoint(receiver.url, SECRETS, public_only=False)})
    place = TopicPartition(topic_name(topics, HEALTH), partition_of(b"org", HEALTH.partitions))
    consumer = AIOKafkaConsumer(**client_options(topics), group_id=topics.topic_prefix + NAME)
    await consumer.start()

    async def kafka_is_told() -> bool:
        return await consumer.committed(place) == 2

    async def one_waits() -> bool:
        return len(receiver.seen) > 1

    async def both_taken() -> bool:
        return receiver.taken["org"] == [change(number, "org").id for number in range(2)]

    await publisher.publish([change(100, "org")])
    async with telling(topics, pool, told):
        await publisher.publish([change(0, "org")])
        await eventually(kafka_is_told)
        receiver.refused = {"org"}
        await publisher.publish([change(1, "org")])
        await eventually(one_waits)
    await consumer.stop()
    await pool.execute("TRUNCATE outbox, projection_offsets")
    receiver.refused = set()
    async with telling(topics, pool, told):
        await eventually(both_taken)


async def test_no_name_or_address_from_outside_leads_to_what_only_we_can_reach(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually
) -> None:
    named = receiver.url.replace("127.0.0.1", "localhost")
    assert socket.gethostbyname("localhost") == "127.0.0.1"
    told = outbox(
        {"others": Endpoint(receiver.url, SECRETS), "named": Endpoint(named, SECRETS)}, replace(SOON, attempts=1)
    )
    async with telling(topics, pool, told):
        await publisher.publish([change(0, "org"), change(0, "named")])

        async def given_up() -> bool:
            return len(await read_letters(topics)) == 2

        await eventually(given_up)
    assert receiver.seen == []


@asynccontextmanager
async def answering(answer: bytes, *, ends: bool = False) -> AsyncGenerator[str]:
    """A server that answers each request with these bytes, and then says nothing more, or ends the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        with suppress(ConnectionError):
            await writer.drain()
            if not ends:
                await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_an_endpoint_that_has_no_name_or_speaks_strangely_stops_nobody_elses_webhooks(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, receiver: Receiver, eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("wabus_runtime.outbox.outbox.DELIVERY_TIMEOUT", 5.0)
    elsewhere = receiver.url.encode()
    async with (
        answering(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % elsewhere) as redirecting,
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nno", ends=True) as short,
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nno", ends=True) as disagreeing,
        answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000) as endless,
        answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000) as headed,
        answering(b"SSH-2.0-OpenSSH_9.9\r\n", ends=True) as other,
        answering(b"", ends=True) as silent,
        answering(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n") as switching,
        answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1000000000\r\n\r\npacked") as packed,
    ):
        urls = {"nameless": "http://a..b.example/", "long": f"http://{'a' * 64}.example/", "switching": switching}
        urls |= {"redirecting": redirecting, "disagreeing": disagreeing, "headed": headed, "other": other}
        failing = {*urls, "silent"}
        urls |= {"silent": silent, "short": short, "endless": endless, "packed": packed, "quick": receiver.url}
        told = outbox(
            {name: Endpoint(url, SECRETS, public_only=False) for name, url in urls.items()}, replace(SOON, attempts=2)
        )

        async def quick_has_both() -> bool:
            return receiver.taken["quick"] == [change(number, "quick").id for number in range(2)]

        async def those_are_given_up() -> bool:
            return len(await read_letters(topics)) == len(failing)

        async def nothing_waits() -> bool:
            return await pool.fetchval("SELECT count(*) FROM outbox") == 0

        async with telling(topics, pool, told):
            await publisher.publish([change(0, org_id) for org_id in urls])
            await eventually(those_are_given_up)
            await publisher.publish([change(1, "quick")])
            await eventually(quick_has_both)
            await eventually(nothing_waits)
        letters = {decode(letter.record.headers, letter.record.value).org_id for letter in await read_letters(topics)}
        assert letters == failing
    # A redirect leads nowhere, and what was answered 2xx is taken, whatever comes behind it.
    assert {org_id for org_id, _ in receiver.seen} == {"quick"}


async def test_names_that_nobody_answers_for_delay_nobody_elses_webhooks(
    topics: IdentitySettings,
    pool: asyncpg.Pool,
    publisher: Publisher,
    receiver: Receiver,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look_up, asking, over = socket.getaddrinfo, set[str](), threading.Event()

    def as_name_servers_answer(host: str, *others: Any, **named: Any) -> Any:
        if host.endswith(".silent.example"):
            asking.add(host)
            over.wait(WAIT)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return look_up(host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", as_name_servers_answer)
    silent = {f"org-{number}": f"http://org-{number}.silent.example/" for number in range(40)}
    urls = {**silent, "quick": receiver.url.replace("127.0.0.1", "localhost")}
    told = outbox({name: Endpoint(url, SECRETS, public_only=False) for name, url in urls.items()})

    async def all_are_asked_for() -> bool:
        return len(asking) == len(silent)

    async def taken() -> bool:
        return receiver.taken["quick"] == [change(0, "quick").id]

    try:
        async with telling(topics, pool, told):
            await publisher.publish([change(0, org_id) for org_id in silent])
            await eventually(all_are_asked_for)
            await publisher.publish([change(0, "quick")])
            await eventually(taken)
            assert not over.is_set()
    finally:
        over.set()

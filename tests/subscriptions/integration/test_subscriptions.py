"""Subscriptions on real Kafka, PostgreSQL and HTTP: who subscribes is told of all that is theirs, in order."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import REGISTRY
from support.forgetting import line
from wabus_events import (
    AccountConnected,
    ContactForgotten,
    Event,
    HealthChanged,
    MessageReceived,
    OrganisationForgotten,
    encode,
    fact_id,
)
from wabus_events.testing import an
from wabus_runtime.identity.holdings import RUNTIME
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.outbox import rows
from wabus_runtime.outbox.standard_webhook import headers_of, secrets_of
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.service.process import LOOP_FAILURES
from wabus_runtime.settings import IdentitySettings, load
from wabus_subscriptions.app import create_app
from wabus_subscriptions.settings import SubscriptionsSettings
from wabus_subscriptions.tables import deliveries, subscriptions
from wabus_subscriptions.tables.subscriptions import NAME
from wabus_subscriptions.telling.signing import ROTATIONS_MOST
from wabus_subscriptions.worker import catching_up, upkeep
from wabus_subscriptions.worker.receivers import PACKAGE
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]


def change(number: int, org_id: str = "demo") -> HealthChanged:
    time = datetime.now(UTC)
    return HealthChanged(id=fact_id("told", org_id, number), time=time, org_id=org_id, to_status="failing", since=time)


def ids(numbers: range, org_id: str = "demo") -> list[str]:
    return [fact_id("told", org_id, number) for number in numbers]


@dataclass
class Receiver:
    """A platform's endpoint. `status` is what it answers, or `answers` what it answers first."""

    url: str = ""
    status: int = 204
    answers: list[int] = field(default_factory=list[int])
    seen: list[str] = field(default_factory=list[str])
    taken: list[str] = field(default_factory=list[str])
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    signatures: list[tuple[str, str, bytes, str]] = field(default_factory=list[tuple[str, str, bytes, str]])

    async def receive(self, request: web.Request) -> web.Response:
        body, headers = await request.read(), request.headers
        self.seen.append(headers["webhook-id"])
        at = headers["webhook-timestamp"]
        self.signatures.append((headers["webhook-id"], at, body, headers["webhook-signature"]))
        status = self.answers.pop(0) if self.answers else self.status
        if status < 300:
            self.taken.append(headers["webhook-id"])
            self.bodies.append(orjson.loads(body))
        return web.Response(status=status)

    def signed_by(self, secrets: list[str]) -> bool:
        """Whether the last webhook is signed by these, and no others."""
        name, at, body, signature = self.signatures[-1]
        moment = datetime.fromtimestamp(int(at), UTC)
        return signature == headers_of(name, body, secrets_of(",".join(secrets)), moment)["webhook-signature"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/hook", found.receive)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/hook"))
        yield found


@dataclass
class World:
    """The service, its caller, and what is published."""

    client: Client
    headers: dict[str, str]
    publisher: Publisher
    eventually: Eventually
    bearer: Bearer

    async def asked(self, method: str, path: str, status: int, body: object = None) -> Any:
        async with self.client.request(method, path, headers=self.headers, json=body) as answer:
            content = await answer.text()
            assert answer.status == status, content
            return orjson.loads(content) if content else None

    async def subscribed(self, url: str, **parts: object) -> dict[str, Any]:
        return await self.asked("POST", "/subscriptions", 201, {"url": url, **parts})

    async def publish(self, *events: Event) -> None:
        await self.publisher.publish(events)

    async def one(self, held: dict[str, Any]) -> dict[str, Any]:
        return await self.asked("GET", f"/subscriptions/{held['subscription_id']}", 200)

    async def until(self, held: dict[str, Any], status: str) -> dict[str, Any]:
        async def is_so() -> bool:
            return (await self.one(held))["status"] == status

        await self.eventually(is_so)
        return await self.one(held)

    async def until_taken(self, receiver: Receiver, wanted: list[str]) -> None:
        async def taken() -> bool:
            return len(receiver.taken) >= len(wanted)

        await self.eventually(taken)
        assert receiver.taken == wanted


@pytest.fixture
async def world(
    publisher: Publisher, serve: Serve, bearer: Bearer, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> World:
    monkeypatch.setenv("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "true")
    client = await serve(create_app(load(SubscriptionsSettings)))

    async def ready() -> bool:
        return (await client.get("/readyz")).status == 200

    await eventually(ready)
    return World(client, bearer(), publisher, eventually, bearer)


async def test_a_platform_is_told_of_its_own_events_in_order_and_signed(world: World, receiver: Receiver) -> None:
    held = await world.subscribed(receiver.url, types=["HealthChanged"])
    connected = AccountConnected(id=fact_id("c", "1"), time=datetime.now(UTC), org_id="demo", waba_id="waba-1")
    await world.publish(connected, *[change(number, "other") for number in range(3)])
    await world.publish(*[change(number) for number in range(30)])

    await world.until_taken(receiver, ids(range(30)))
    assert {body["org_id"] for body in receiver.bodies} == {"demo"}
    assert receiver.signed_by([held["secret"]])
    listed = await world.asked("GET", "/subscriptions", 200)
    assert [each["subscription_id"] for each in listed["subscriptions"]] == [held["subscription_id"]]
    assert "secret" not in listed["subscriptions"][0]


async def test_what_a_paused_subscription_missed_is_told_in_order_when_it_goes_on(
    world: World, receiver: Receiver
) -> None:
    held = await world.subscribed(receiver.url)
    path = f"/subscriptions/{held['subscription_id']}"
    await world.publish(*[change(number) for number in range(5)])
    await world.until_taken(receiver, ids(range(5)))
    paused = await world.asked("PATCH", path, 200, {"status": "paused"})
    assert paused["paused"]["reason"] == "asked"
    await world.publish(*[change(number) for number in range(5, 10)])
    await world.asked("PATCH", path, 200, {"status": "active"})
    await world.publish(*[change(number) for number in range(10, 15)])
    await world.until(held, "active")
    await world.publish(*[change(number) for number in range(15, 20)])

    await world.until_taken(receiver, ids(range(20)))


@pytest.mark.long
async def test_whoever_is_paused_and_goes_on_while_events_come_misses_none_and_sees_them_in_order(
    world: World, receiver: Receiver
) -> None:
    held = await world.subscribed(receiver.url)
    path, order = f"/subscriptions/{held['subscription_id']}", random.Random(11)
    for number in range(400):
        await world.publish(change(number))
        if order.random() < 0.15:
            await world.asked("PATCH", path, 200, {"status": order.choice(("paused", "active"))})
    await world.asked("PATCH", path, 200, {"status": "active"})
    await world.until(held, "active")

    async def told() -> bool:
        return len(set(receiver.taken)) == 400

    await world.eventually(told)
    assert list(dict.fromkeys(receiver.taken)) == ids(range(400))


async def test_a_platform_that_lost_what_it_was_told_is_told_once_more(world: World, receiver: Receiver) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    held = await world.subscribed(receiver.url)
    await world.publish(*[change(number) for number in range(5)])
    await world.until_taken(receiver, ids(range(5)))
    path = f"/subscriptions/{held['subscription_id']}"
    await world.asked("POST", f"{path}/replay", 202, {"since": before.isoformat()})
    await world.until_taken(receiver, [*ids(range(5)), *ids(range(5))])
    await world.until(held, "active")

    later = await world.subscribed(receiver.url, since=before.isoformat())
    assert later["status"] == "catching_up"
    await world.until_taken(receiver, [*ids(range(5)), *ids(range(5)), *ids(range(5))])
    await world.asked("POST", f"{path}/deliveries/{ids(range(1))[0]}/again", 202)
    await world.until_taken(receiver, [*ids(range(5)), *ids(range(5)), *ids(range(5)), *ids(range(1))])


async def test_whoever_subscribes_before_any_worker_ever_ran_is_told_what_they_asked_for(
    publisher: Publisher, serve: Serve, bearer: Bearer, receiver: Receiver, eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "true")
    world = World(await serve(create_app(load(SubscriptionsSettings), "api")), bearer(), publisher, eventually, bearer)
    await world.publish(*[change(number) for number in range(3)])
    await world.subscribed(receiver.url, since=(datetime.now(UTC) - timedelta(minutes=1)).isoformat())
    await serve(create_app(load(SubscriptionsSettings), "worker"))

    await world.until_taken(receiver, ids(range(3)))


async def test_a_receiver_that_fails_for_a_moment_misses_nothing_and_its_page_says_what_happened(
    world: World, receiver: Receiver
) -> None:
    receiver.answers = [503, 302]
    held = await world.subscribed(receiver.url)
    await world.publish(*[change(number) for number in range(3)])
    await world.until_taken(receiver, ids(range(3)))
    assert receiver.seen == [*ids(range(1)) * 3, *ids(range(1, 3))]

    path = f"/subscriptions/{held['subscription_id']}/deliveries"

    async def all_noted() -> bool:
        return len((await world.asked("GET", path, 200))["deliveries"]) == 3

    await world.eventually(all_noted)
    page = await world.asked("GET", f"{path}?limit=2", 200)
    rest = await world.asked("GET", f"{path}?limit=2&after={page['next']}", 200)
    found = [*page["deliveries"], *rest["deliveries"]]
    assert [each["event_id"] for each in found] == list(reversed(ids(range(3))))
    assert [each["attempts"] for each in found] == [1, 1, 3]
    assert {(each["state"], each["status"], each["type"]) for each in found} == {("delivered", 204, "HealthChanged")}
    assert rest["next"] is None


async def test_a_receiver_that_is_gone_is_paused_and_says_why_and_delays_nobody(
    world: World, receiver: Receiver
) -> None:
    gone = await world.subscribed(receiver.url.replace("/hook", "/nowhere"))
    receiver.status = 410
    refusing = await world.subscribed(receiver.url)
    await world.publish(change(0))
    paused = await world.until(refusing, "paused")
    assert paused["paused"]["reason"] == "gone"
    assert paused["waiting"] == 0

    async def failing() -> bool:
        return (await world.one(gone))["failing_since"] is not None

    await world.eventually(failing)  # 404: it is tried again, for that may be a mistake of its deployment
    assert (await world.one(gone))["status"] == "active"
    receiver.status = 204
    await world.asked("PATCH", f"/subscriptions/{refusing['subscription_id']}", 200, {"status": "active"})
    await world.until_taken(receiver, ids(range(1)))


async def test_a_receiver_that_is_too_far_behind_is_paused_and_misses_nothing(
    world: World, receiver: Receiver, topics: object
) -> None:
    receiver.status = 503
    held = await world.subscribed(receiver.url)
    await world.publish(*[change(number) for number in range(10)])
    async with migrated_pool(load(SubscriptionsSettings), PACKAGE) as pool:
        looking = asyncio.create_task(upkeep.run(pool, lambda: None, waiting_most=3, look_every=0.2))
        try:
            paused = await world.until(held, "paused")
        finally:
            looking.cancel()
            await asyncio.wait([looking])
    assert paused["paused"]["reason"] == "too_far_behind"
    receiver.status = 204
    await world.asked("PATCH", f"/subscriptions/{held['subscription_id']}", 200, {"status": "active"})
    await world.until_taken(receiver, ids(range(10)))


@pytest.mark.long
async def test_a_worker_whose_tables_are_empty_is_not_taken_for_stuck(world: World) -> None:
    def age() -> float:
        return REGISTRY.get_sample_value("wabus_loop_beat_age_seconds", {"loop": "subscriptions upkeep"}) or 0.0

    async with migrated_pool(load(SubscriptionsSettings), PACKAGE) as pool:
        looking = asyncio.create_task(upkeep.run(pool, lambda: None, look_every=0.2))
        try:
            oldest = 0.0
            async with asyncio.timeout(60):
                while (now := age()) >= oldest:  # it falls only when the loop has gone round
                    oldest = now
                    await asyncio.sleep(0.01)
        finally:
            looking.cancel()
            await asyncio.wait([looking])


async def test_an_earlier_secret_signs_too_until_the_receiver_has_the_new_one(world: World, receiver: Receiver) -> None:
    held = await world.subscribed(receiver.url)
    path = f"/subscriptions/{held['subscription_id']}/secrets"
    assert (await world.asked("GET", path, 200))["secrets"] == [held["secret"]]
    rotated = (await world.asked("POST", path, 201))["secrets"]
    assert rotated[1:] == [held["secret"]]
    # Again before the receiver has it: the first signs still, for a day after it was replaced.
    rotated = (await world.asked("POST", path, 201))["secrets"]
    assert len(rotated) == 3
    assert rotated[2] == held["secret"]
    await world.publish(change(0))
    await world.until_taken(receiver, ids(range(1)))
    assert receiver.signed_by(rotated)
    for _ in range(ROTATIONS_MOST - 2):
        await world.asked("POST", path, 201)
    refused = await world.asked("POST", path, 429)
    assert refused["code"] == "too_many_requests"
    assert (await world.asked("GET", path, 200))["secrets"][-1] == held["secret"]


async def test_what_can_t_be_subscribed_to_is_refused_by_name(world: World, receiver: Receiver) -> None:
    unknown = await world.asked("POST", "/subscriptions", 422, {"url": receiver.url, "types": ["Nonsense"]})
    assert (unknown["code"], unknown["fields"]) == ("unknown_event_type", ["types"])
    future = {"url": receiver.url, "since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    assert (await world.asked("POST", "/subscriptions", 422, future))["fields"] == ["since"]
    held, *_ = [await world.subscribed(receiver.url) for _ in range(20)]
    full = await world.asked("POST", "/subscriptions", 409, {"url": receiver.url})
    assert full["code"] == "too_many_subscriptions"
    await world.asked("DELETE", f"/subscriptions/{held['subscription_id']}", 204)
    await world.asked("DELETE", f"/subscriptions/{held['subscription_id']}", 404)
    await world.subscribed(receiver.url)


async def test_an_organisation_that_is_forgotten_is_told_nothing_more(world: World, receiver: Receiver) -> None:
    held = await world.subscribed(receiver.url)
    await world.publish(change(0))
    await world.until_taken(receiver, ids(range(1)))
    await world.publish(line(OrganisationForgotten, "demo", datetime.now(UTC) + timedelta(seconds=1)))

    async def nothing_left() -> bool:
        return (await world.asked("GET", "/subscriptions", 200))["subscriptions"] == []

    await world.eventually(nothing_left)
    await world.asked("GET", f"/subscriptions/{held['subscription_id']}", 404)


async def test_of_a_person_who_was_forgotten_nothing_is_told_however_much_waits(
    world: World, receiver: Receiver, topics: IdentitySettings
) -> None:
    receiver.status = 503
    held = await world.subscribed(receiver.url, types=["MessageReceived"])
    first = an(MessageReceived, org_id="demo", contact="4917012345678", time=datetime.now(UTC), id=fact_id("first"))
    others = [
        first.model_copy(update={"id": fact_id("said", number), "contact": "16505550199" if number % 2 else "4930123"})
        for number in range(2 * rows.ERASED_AT_ONCE)
    ]
    forgotten = {event.id for event in others if event.contact == "16505550199"}
    await world.publish(first, *others)

    async def waiting() -> int:
        return (await world.one(held))["waiting"]

    async def all_wait() -> bool:
        return await waiting() == len(others) + 1

    async def the_rest_waits() -> bool:
        return await waiting() == len(others) - len(forgotten) + 1

    await world.eventually(all_wait)
    async with migrated_pool(load(SubscriptionsSettings), PACKAGE) as pool:

        async def held_of(contact: str, org_id: str | None) -> int:
            (table,) = [each for each in RUNTIME.tables if each.name == "outbox"]
            return await pool.fetchval(f"SELECT count(*) FROM outbox WHERE {table.contact}", contact, org_id)

        assert await held_of("16505550199", None) == await held_of("16505550199", "demo") == len(forgotten)
        assert await held_of("16505550199", "other") == 0
        await world.publish(line(ContactForgotten, "16505550199", datetime.now(UTC) + timedelta(seconds=1)))
        await world.eventually(the_rest_waits)
        assert await held_of("16505550199", None) == 0
        # What comes to wait only now, out of a transaction that began before the line, is told to nobody either.
        await pool.execute("DELETE FROM outbox WHERE id <> (SELECT min(id) FROM outbox)")
        kept = dict(await pool.fetchval("SELECT headers FROM outbox"))["ce_id"]
        assert kept not in forgotten
        late = encode(others[1], others[1].source)
        async with pool.acquire() as connection:
            await rows.enqueue(connection, NAME, [rows.Entry(held["subscription_id"], "demo", late, 0, 0)])
    receiver.status = 204

    async def nothing_waits() -> bool:
        return await waiting() == 0

    await world.eventually(nothing_waits)
    assert receiver.taken == [kept]


async def test_the_page_of_what_failed_reads_no_delivery_that_did_not(topics: IdentitySettings) -> None:
    async with migrated_pool(load(SubscriptionsSettings), PACKAGE) as pool:
        held = await subscriptions.create(pool, str(uuid4()), "demo", "https://a.example/", None, "", None, 20)
        assert held
        await pool.execute(
            """
            INSERT INTO deliveries (subscription_id, event_id, org_id, type, topic, partition, log_offset, state,
                attempts, seconds, at)
            SELECT $1, n::text, 'demo', 'HealthChanged', 'health.v1', 0, n,
                CASE WHEN n > 3 THEN 'delivered' ELSE 'failing' END, 1, 0.1, now() - make_interval(secs => -n)
            FROM generate_series(1, 5000) AS n
            """,
            held.subscription_id,
        )
        await pool.execute("ANALYZE deliveries")
        page = await deliveries.page(pool, held.subscription_id, "failing", None, 50)
        assert [row["event_id"] for row in page] == ["3", "2", "1"]
        async with pool.acquire() as connection:
            await connection.execute("SET enable_sort = off")
            plan = await connection.fetch(
                "EXPLAIN SELECT * FROM deliveries WHERE subscription_id = $1 AND state = 'failing' "
                "ORDER BY at DESC, event_id LIMIT 50",
                held.subscription_id,
            )
        assert any("deliveries_state" in row[0] for row in plan), plan


async def test_the_operator_s_receiver_is_told_of_every_organisation(
    publisher: Publisher, serve: Serve, receiver: Receiver, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "whsec_" + "c" * 32
    monkeypatch.setenv("SUBSCRIPTIONS_URL", receiver.url)
    monkeypatch.setenv("SUBSCRIPTIONS_SECRET", secret)
    monkeypatch.setenv("SUBSCRIPTIONS_TYPES", "HealthChanged, AccountConnected")
    client = await serve(create_app(load(SubscriptionsSettings), "worker"))

    async def ready() -> bool:
        return (await client.get("/readyz")).status == 200

    await eventually(ready)
    await publisher.publish([change(0, "one"), change(0, "two"), change(0, "three")])

    async def taken() -> bool:
        return len(receiver.taken) == 3

    await eventually(taken)
    assert {body["org_id"] for body in receiver.bodies} == {"one", "two", "three"}
    assert receiver.signed_by([secret])


async def test_an_address_in_our_own_network_is_refused_and_told_nothing(
    publisher: Publisher,
    serve: Serve,
    bearer: Bearer,
    receiver: Receiver,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "true")
    lenient = await serve(create_app(load(SubscriptionsSettings), "api"))
    monkeypatch.setenv("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "false")
    strict = await serve(create_app(load(SubscriptionsSettings)))
    there = World(lenient, bearer(), publisher, eventually, bearer)
    here = World(strict, bearer(), publisher, eventually, bearer)
    for url in ("https://localhost/", receiver.url, "https://127.0.0.1:8443/", "https://nowhere.invalid/"):
        refused = await here.asked("POST", "/subscriptions", 422, {"url": url})
        assert (refused["code"], refused["fields"]) == ("address_refused", ["url"])
        assert url not in refused["detail"]
    # As a name that led elsewhere when it was subscribed.
    held = await there.subscribed(receiver.url)

    async def ready() -> bool:
        return (await strict.get("/readyz")).status == 200

    await eventually(ready)
    await here.publish(change(0))
    paused = await here.until(held, "paused")
    assert paused["paused"]["reason"] == "private_address"
    assert receiver.seen == []


async def test_a_subscription_since_before_all_time_stops_nobody_from_catching_up(
    world: World, receiver: Receiver
) -> None:
    await world.publish(*[change(number) for number in range(3)])
    await world.subscribed(receiver.url, types=["AccountConnected"], since="1960-01-01T00:00:00Z")
    await world.subscribed(receiver.url, types=["AccountConnected"], since="0001-01-01T00:00:00+14:00")
    await world.subscribed(receiver.url, since=(datetime.now(UTC) - timedelta(minutes=1)).isoformat())

    await world.until_taken(receiver, ids(range(3)))


async def test_a_receiver_that_is_away_while_it_catches_up_keeps_nobody_else_from_catching_up(
    world: World, receiver: Receiver
) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    await world.publish(*[change(number) for number in range(catching_up.ROOM + catching_up.BATCH + 1)])
    await world.publish(*[change(number, "other") for number in range(3)])
    away = await world.subscribed(receiver.url.replace("/hook", "/nowhere"), since=before.isoformat())

    async def much_waits() -> bool:
        return (await world.one(away))["waiting"] == catching_up.ROOM

    await world.eventually(much_waits)
    world.headers = world.bearer(org="other")
    await world.subscribed(receiver.url, since=before.isoformat())
    await world.until_taken(receiver, ids(range(3), "other"))
    world.headers = world.bearer()
    assert (await world.one(away))["status"] == "catching_up"


async def test_a_subscription_that_ends_while_it_is_told_ends_nobody_else_s_deliveries(
    receiver: Receiver, world: World
) -> None:
    def failures() -> float:
        return LOOP_FAILURES.labels("subscriptions-delivery")._value.get()  # pyright: ignore

    before, held = failures(), await world.subscribed(receiver.url)
    async with migrated_pool(load(SubscriptionsSettings), PACKAGE) as pool, pool.acquire() as ending:

        async def is_waited_for() -> bool:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%deliveries%'"
            )
            return bool(receiver.taken and await pool.fetchval(waiting))

        async with ending.transaction():
            await ending.execute("DELETE FROM subscriptions WHERE subscription_id = $1", held["subscription_id"])
            await world.publish(change(0))
            await world.eventually(is_waited_for)
    await world.subscribed(receiver.url)
    await world.publish(change(1))
    await world.until_taken(receiver, ids(range(2)))
    assert failures() == before

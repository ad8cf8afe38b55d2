"""APIs that read from a replica: a real one, which lags when it is told to, dies and comes back."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import template_world
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from prometheus_client import REGISTRY
from proxy import Proxy
from standby import Standby
from template_world import Meta, Publish, connection, synced_status
from wabus_events import AccountConnected, CallbackVerified, Event, MessageReceived, TemplatesSynced, fact_id
from wabus_health_projector.api.live import detailed_answer
from wabus_health_projector.app import HealthProjectorSettings, create_app
from wabus_health_projector.worker.lag import Lag
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres import read_replica as reads
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.database import open_pool, open_replica
from wabus_runtime.settings import DatabaseSettings, KafkaSettings, load
from waiting import Eventually

pytestmark = pytest.mark.long

pytest_plugins = ["template_world"]

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
HEALTH, TEMPLATES = "health-projector", "template-sync-projection"
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


@pytest.fixture(scope="module")
def standby(postgres: EmbeddedPostgres, stack_home: Path) -> Any:
    made = Standby(postgres, stack_home / "postgres", free_ports(1)[0])

    async def begin() -> None:
        await made.make()
        await made.start()

    asyncio.run(begin())
    yield made
    asyncio.run(made.kill())


@pytest.fixture
async def replica(
    standby: Standby, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Standby]:
    """The replica of this test's database, which the services read from."""
    monkeypatch.setenv("READ_DATABASE_URL", standby.url_of(environment["DATABASE_URL"].rpartition("/")[2]))
    for projection in (HEALTH, TEMPLATES):
        reads.REPLICA_USED.labels(projection).set(0)  # what an earlier test's service has said is over
    yield standby
    await standby.resume()


def fact(kind: type[Event], second: int = 0, **details: Any) -> Event:
    event_id = fact_id(kind.type, str(second), str(details))
    time = START + timedelta(seconds=second)
    return kind.model_validate({"waba_id": "1", "id": event_id, "time": time, "value": {}, **details})


def synced(sync_id: str, second: int, total: int) -> Event:
    counts = {"total": total, "approved": 2, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    return fact(TemplatesSynced, second, sync_id=sync_id, reason="manual", started_at=START, **counts)


def good() -> list[Event]:
    handshake = fact(CallbackVerified, 1, callback_url="https://wabus.example")
    return [fact(AccountConnected, org_id="demo"), handshake, synced("s", 2, 3)]


def received(number: int) -> Event:
    about = {"phone_number_id": "9", "wamid": str(number), "contact": "c", "message_type": "text"}
    return fact(MessageReceived, 5, **about)


def answered(projection: str, database: str) -> float:
    labels = {"projection": projection, "database": database}
    return REGISTRY.get_sample_value("wabus_reads_total", labels) or 0.0


def used(projection: str = HEALTH) -> bool:
    return REGISTRY.get_sample_value("wabus_read_replica_used", {"projection": projection}) == 1


async def is_used() -> bool:
    return used()


async def is_unused() -> bool:
    return not used()


async def test_a_listener_ends_when_whoever_it_tells_of_its_news_has_failed(environment: dict[str, str]) -> None:
    heard: list[None] = []

    def changed() -> None:  # at first that it listens, then the news
        heard.append(None)
        if len(heard) == 2:
            raise ZeroDivisionError

    pool = await open_pool(load(DatabaseSettings))
    announcements = Announcements(lambda: reads.Reads(pool, None, HEALTH), "news")
    listening = asyncio.Event()
    with announcements.heard("demo", changed):
        running = asyncio.create_task(announcements.run(listening.set))
        await asyncio.wait_for(listening.wait(), 10)
        await pool.execute("SELECT pg_notify('news', 'demo')")
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(running, 10)
    await pool.close()


async def test_a_database_that_says_nothing_is_told_as_away_and_asked_again_when_it_speaks(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    port = int(environment["DATABASE_URL"].rpartition(":")[2].partition("/")[0])
    proxy = Proxy(free_ports(1)[0], port)
    await proxy.start()
    monkeypatch.setenv("DATABASE_URL", environment["DATABASE_URL"].replace(f":{port}/", f":{proxy.port}/"))
    pool = await open_pool(load(DatabaseSettings))
    databases = reads.Reads(pool, None, HEALTH, answered_within=0.3)

    async def one(pool: asyncpg.Pool) -> bool:
        return await pool.fetchval("SELECT 1") == 1

    async def answered() -> bool:
        try:
            return await databases.ask(one)
        except TimeoutError:
            return False

    assert await answered()
    proxy.stall()
    async with asyncio.timeout(5):
        for _ in range(3):
            assert not await answered()
    proxy.flow()
    await eventually(answered)
    pool.terminate()
    await proxy.stop()


async def health(client: Client, headers: dict[str, str], path: str = "", **more: str) -> Any:
    answer = await client.get(f"/webhook/health{path}", headers={**headers, **more})
    assert answer.status == 200, await answer.text()
    return await answer.json()


@asynccontextmanager
async def streaming(client: Client, headers: dict[str, str]) -> AsyncGenerator[AsyncGenerator[tuple[str, Any]]]:
    async with client.get("/webhook/health/stream", headers=headers) as response:
        assert response.status == 200
        yield sent(response)


async def sent(response: ClientResponse) -> AsyncGenerator[tuple[str, Any]]:
    id_ = ""
    async for raw in response.content:
        name, _, value = raw.decode().rstrip("\n").partition(": ")
        if name == "id":
            id_ = value
        elif name == "data" and id_:
            yield id_, json.loads(value)


async def test_the_replica_answers_what_the_primary_was_told(
    replica: Standby, publisher: Publisher, serve: Serve, bearer: Bearer, eventually: Eventually
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    await publisher.publish(good())
    answer = await health(client, {**bearer(), "Prefer": "wait=20"}, "?sync_id=s")
    assert (answer["status"], answer["awaiting"]) == ("healthy", [])
    await eventually(is_used)  # perhaps again: before anything was folded, a replica without tables is not behind
    before, by_primary = answered(HEALTH, "replica"), answered(HEALTH, "primary")
    for path in ("", "/detailed", "/history"):
        await health(client, bearer(), path)
    assert (answered(HEALTH, "replica"), answered(HEALTH, "primary")) == (before + 3, by_primary)


async def test_whoever_waits_or_watches_gets_the_news_while_the_replica_lags(
    replica: Standby, publisher: Publisher, serve: Serve, bearer: Bearer, eventually: Eventually
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    await publisher.publish(good())
    await health(client, {**bearer(), "Prefer": "wait=20"}, "?sync_id=s")
    await eventually(is_used)
    async with streaming(client, bearer()) as stream:
        ids = [(await anext(stream))[0]]
        await replica.pause()
        waiting = asyncio.create_task(health(client, {**bearer(), "Prefer": "wait=20"}, "?sync_id=mine"))
        await publisher.publish([synced("mine", 9, 7)])
        answer = await waiting
        assert (answer["awaiting"], answer["template_total"]) == ([], 7)
        async with asyncio.timeout(20):
            async for id_, shown in stream:
                ids.append(id_)
                if shown["template_total"] == 7:
                    break
        assert not used()
        assert (await health(client, bearer()))["template_total"] == 7
        await replica.resume()
        await eventually(is_used)
        await publisher.publish([synced("last", 12, 9)])
        async with asyncio.timeout(20):
            async for id_, shown in stream:
                ids.append(id_)
                if shown["template_total"] == 9:
                    break
                assert shown["template_total"] == 7
    assert ids == sorted(ids)
    assert used()


async def test_an_answer_says_how_far_behind_the_database_is_that_gave_it(
    replica: Standby, topics: KafkaSettings, publisher: Publisher, serve: Serve, eventually: Eventually
) -> None:
    await serve(create_app(load(HealthProjectorSettings)))
    await publisher.publish([*good(), received(1)])
    lag = Lag(topics)
    measuring = asyncio.create_task(lag.run(lambda: None))
    behind = await open_replica(load(DatabaseSettings))
    assert behind

    async def as_far(counted: int, lacking: int) -> bool:
        try:
            found, _ = await detailed_answer(behind, lag, "demo", datetime.now(UTC), timedelta(hours=1))
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):  # it has not followed all migrations yet
            return False
        if not found.wabas or not found.lag:
            return False
        return (found.wabas[0].counts["last_24h"]["received"], found.lag.records) == (counted, lacking)

    await eventually(lambda: as_far(1, 0))
    await replica.pause()
    await publisher.publish([received(number) for number in range(2, 6)])
    await eventually(lambda: as_far(1, 4))
    await replica.resume()
    await eventually(lambda: as_far(5, 0))
    measuring.cancel()
    behind.terminate()


async def test_a_replica_that_dies_costs_no_answer_and_is_used_again_when_it_is_back(
    replica: Standby, publisher: Publisher, serve: Serve, bearer: Bearer, eventually: Eventually
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    await eventually(is_used)
    over = False

    async def read() -> int:
        count = 0
        while not over:
            await health(client, bearer())
            assert (await client.get("/readyz")).status == 200
            count += 1
        return count

    async def ready() -> bool:
        return (await client.get("/readyz")).status == 200

    await eventually(ready)
    reading = asyncio.create_task(read())
    await replica.kill()
    await eventually(is_unused)
    await replica.start()
    await eventually(is_used)
    over = True
    assert await reading > 10


async def test_the_replica_goes_on_answering_while_the_primary_is_away(
    replica: Standby,
    environment: dict[str, str],
    publisher: Publisher,
    serve: Serve,
    bearer: Bearer,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await serve(create_app(load(HealthProjectorSettings), "worker"))
    port = int(environment["DATABASE_URL"].rpartition(":")[2].partition("/")[0])
    proxy = Proxy(free_ports(1)[0], port)
    await proxy.start()
    monkeypatch.setenv("DATABASE_URL", environment["DATABASE_URL"].replace(f":{port}/", f":{proxy.port}/"))
    client = await serve(create_app(load(HealthProjectorSettings), "api"))
    await publisher.publish(good())
    await health(client, {**bearer(), "Prefer": "wait=20"}, "?sync_id=s")
    await eventually(is_used)

    async def refused() -> bool:
        return (await client.post("/webhook/health/check", headers=bearer())).status == 503

    async with streaming(client, bearer()) as stream:
        assert (await anext(stream))[1]["template_total"] == 3
        await proxy.stop()
        await eventually(refused)
        await publisher.publish([synced("mine", 9, 7)])
        async with asyncio.timeout(20):
            assert (await anext(stream))[1]["template_total"] == 7
    answer = await health(client, bearer())
    assert (answer["status"], answer["template_total"]) == ("healthy", 7)
    assert (await client.get("/readyz")).status == 200
    await proxy.start()

    async def taken() -> bool:
        return (await client.post("/webhook/health/check", headers=bearer())).status == 202

    await eventually(taken)
    await proxy.stop()


async def test_a_replica_that_is_none_of_this_database_is_never_used(
    replica: Standby, publisher: Publisher, serve: Serve, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READ_DATABASE_URL", replica.url_of("no_such_database"))
    client = await serve(create_app(load(HealthProjectorSettings)))
    await publisher.publish(good())
    answer = await health(client, {**bearer(), "Prefer": "wait=20"}, "?sync_id=s")
    assert answer["status"] == "healthy"
    assert not used()


async def test_templates_are_read_from_the_replica_and_a_sync_is_followed_while_it_lags(
    replica: Standby,
    meta: Meta,
    service: template_world.Client,
    publish: Publish,
    bearer: Bearer,
    eventually: Eventually,
) -> None:
    async def templates_used() -> bool:
        return used(TEMPLATES)

    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))
    await eventually(templates_used)
    before = answered(TEMPLATES, "replica")
    listed = await (await service.get("/templates", headers=bearer())).json()
    assert listed["total"] > 0
    assert answered(TEMPLATES, "replica") > before

    await replica.pause()
    answer = await service.post("/templates/sync", headers={**bearer(), "Prefer": "wait=20"})
    assert (answer.status, (await answer.json())["status"]) == (200, "synced")
    assert not used(TEMPLATES)
    status = await (await service.get(f"/templates/sync/{(await answer.json())['sync_id']}", headers=bearer())).json()
    assert status["status"] == "synced"

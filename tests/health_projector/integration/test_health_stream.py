"""The live stream of health over real HTTP, Kafka and PostgreSQL, from one API process and from several."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from wabus_events import AccountConnected, CallbackVerified, Event, TemplatesSynced, TemplateSyncFailed, fact_id
from wabus_health_projector.api import live
from wabus_health_projector.app import HealthProjectorSettings, create_app
from wabus_health_projector.tables.store import CHANNEL
from wabus_health_projector.worker.lag import Lag
from wabus_runtime.http.auth import make_token
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.read_replica import Reads
from wabus_runtime.settings import AuthSettings, KafkaSettings, load
from waiting import WAIT

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
PATH = "/webhook/health/stream"


@dataclass
class Sent:
    """One event of a stream; `id` is empty where it has none."""

    name: str
    id: str
    data: Any


def fact(kind: type[Event], second: int, **details: Any) -> Event:
    event_id = fact_id(kind.type, str(second), str(details))
    time = START + timedelta(seconds=second)
    return kind.model_validate({"waba_id": "1", "id": event_id, "time": time, **details})


def good(org_id: str = "demo") -> list[Event]:
    counts = {"total": 3, "approved": 2, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    return [
        fact(AccountConnected, 0, org_id=org_id),
        fact(CallbackVerified, 1, callback_url="https://wabus.example"),
        fact(TemplatesSynced, 2, sync_id="s", reason="connected", started_at=START, **counts),
    ]


def failed(second: int = 3) -> Event:
    about: dict[str, Any] = {"sync_id": f"f{second}", "reason": "manual", "started_at": START, "code": "token_expired"}
    return fact(TemplateSyncFailed, second, **about, message="The access has expired.", retryable=False)


async def events(response: ClientResponse) -> AsyncGenerator[Sent]:
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Sent(fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


async def of_status(stream: AsyncGenerator[Sent], status: str) -> Sent:
    """The next event with this status; what came before is on the way there."""
    async with asyncio.timeout(20):
        async for sent in stream:
            if sent.data.get("status") == status:
                return sent
    raise AssertionError(f"the stream ended before it was {status}")


@asynccontextmanager
async def streaming(client: Client, headers: dict[str, str]) -> AsyncGenerator[AsyncGenerator[Sent]]:
    async with client.get(PATH, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield events(response)


async def test_every_api_process_streams_each_change_with_ids_that_any_of_them_resumes_from(
    topics: KafkaSettings, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    await serve(create_app(load(HealthProjectorSettings), "worker"))
    one, other = [await serve(create_app(load(HealthProjectorSettings), "api")) for _ in range(2)]
    async with streaming(one, bearer()) as first, streaming(other, bearer()) as second:
        pending = [await of_status(stream, "pending") for stream in (first, second)]
        await publisher.publish(good())
        healthy = [await of_status(stream, "healthy") for stream in (first, second)]
        await publisher.publish([failed()])
        failing = [await of_status(stream, "failing") for stream in (first, second)]
    assert failing[0].data["reasons"][0]["code"] == "token_expired"
    for before, after in ((pending, healthy), (healthy, failing)):
        assert max(sent.id for sent in before) < min(sent.id for sent in after)
    async with streaming(other, {**bearer(), "Last-Event-ID": healthy[0].id}) as resumed:
        assert (await anext(resumed)).data["status"] == "failing"
    async with streaming(other, {**bearer(), "Last-Event-ID": failing[0].id}) as resumed:
        await publisher.publish([failed(4)])
        assert (await anext(resumed)).data["wabas"][0]["recent_errors"][0]["at"] == failed(4).time.isoformat().replace(
            "+00:00", "Z"
        )


async def test_the_data_is_the_detailed_answer(
    topics: KafkaSettings, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    await publisher.publish(good())
    async with streaming(client, bearer()) as stream:
        sent = await of_status(stream, "healthy")
    answer = await (await client.get("/webhook/health/detailed", headers=bearer())).json()
    momentary = {"checked_at", "lag"}
    assert sent.name == "health"
    assert {**sent.data, **dict.fromkeys(momentary)} == {**answer, **dict.fromkeys(momentary)}
    assert sent.data.keys() == answer.keys()


async def test_a_stream_ends_when_its_token_expires(serve: Serve, environment: dict[str, str]) -> None:
    client = await serve(create_app(load(HealthProjectorSettings), "api"))
    token = make_token(
        load(AuthSettings), org_id="demo", role="member", now=datetime.now(UTC), lifetime=timedelta(seconds=2)
    )
    async with asyncio.timeout(10), streaming(client, {"Authorization": f"Bearer {token}"}) as stream:
        sent = [each async for each in stream]
    assert [(each.name, each.data.get("reason")) for each in sent] == [("health", None), ("end", "token_expired")]


async def test_streams_end_at_once_when_the_process_stops(
    serve: Serve, bearer: Bearer, environment: dict[str, str]
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings), "api"))
    async with asyncio.timeout(4), streaming(client, bearer()) as stream:
        await anext(stream)
        stopping = asyncio.create_task(client.server.close())
        assert [each.data async for each in stream] == [{"reason": "shutting_down"}]
        await stopping


async def test_without_a_token_there_is_no_stream_and_an_organisation_has_so_many(
    serve: Serve, bearer: Bearer, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEALTH_STREAMS_PER_ORG", "2")
    client = await serve(create_app(load(HealthProjectorSettings), "api"))
    assert (await client.get(PATH)).status == 401
    async with streaming(client, bearer()) as first, streaming(client, bearer()) as second:
        await anext(first)
        await anext(second)
        refused = await client.get(PATH, headers=bearer())
        assert (refused.status, (await refused.json())["code"]) == (429, "too_many_streams")
        async with streaming(client, bearer("another")) as elsewhere:
            assert (await anext(elsewhere)).data["org_id"] == "another"


async def test_the_streams_survive_the_loss_of_the_listening_connection(
    topics: KafkaSettings, publisher: Publisher, serve: Serve, bearer: Bearer, database_url: str
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    database = await asyncpg.connect(database_url)
    async with streaming(client, bearer()) as stream:
        await of_status(stream, "pending")
        await database.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN %'
            """
        )
        await publisher.publish(good())
        await of_status(stream, "healthy")
    await database.close()


async def test_the_same_rows_are_judged_again_as_time_passes(
    topics: KafkaSettings, publisher: Publisher, serve: Serve
) -> None:
    settings = load(HealthProjectorSettings)
    await serve(create_app(settings, "worker"))
    expires = datetime.now(UTC) + timedelta(seconds=6)
    expiring = [event.model_copy(update={"token_expires_at": expires}) for event in good()]
    await publisher.publish(expiring)
    async with migrated_pool(settings, "wabus_health_projector") as pool:
        databases = Reads(pool, None, "health-projector")
        announcements = Announcements(lambda: databases, CHANNEL)
        listening = asyncio.create_task(announcements.run(lambda: None))
        followed = live.Live(lambda: databases, Lag(topics), announcements, timedelta(hours=1), judge_again=0.5)
        async with followed.follow("demo") as feed:
            before = await snapshot_of(feed, "degraded")
            after = await snapshot_of(feed, "failing")
        listening.cancel()
        await asyncio.wait([listening])
    assert "token_expires_soon" in [reason["code"] for reason in json.loads(before.body)["reasons"]]
    assert "token_expired" in [reason["code"] for reason in json.loads(after.body)["reasons"]]
    assert before.id < after.id


async def snapshot_of(feed: live.Feed, status: str) -> live.Snapshot:
    """The next answer with this status."""
    known = ""
    async with asyncio.timeout(WAIT):
        while True:
            newest = await feed.newer(known, 5)
            if newest and json.loads(newest.body)["status"] == status:
                return newest
            known = newest.digest if newest else known


async def test_a_client_that_reads_late_gets_the_newest_answer_and_no_backlog() -> None:
    feed = live.Feed()
    answers = [live.Snapshot(f"{number}-{number}", b"{}") for number in range(4)]
    unread = iter(answers)

    async def look() -> live.Snapshot:
        return next(unread, answers[-1])

    task = asyncio.create_task(feed.run(look, lambda: 60))
    assert [await feed.fresh(5) for _ in answers] == answers
    assert feed.newest == answers[-1]
    task.cancel()

"""Changes of health on real Kafka and PostgreSQL: told once, kept as history, answered page by page."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from wabus_events import (
    HEALTH,
    AccountConnected,
    CallbackVerified,
    Event,
    HealthChanged,
    TemplatesSynced,
    TemplateSyncFailed,
    fact_id,
)
from wabus_health_projector.app import HealthProjectorSettings, create_app
from wabus_health_projector.tables import history
from wabus_health_projector.worker import projector
from wabus_health_projector.worker.evaluator import Evaluator, EvaluatorSettings
from wabus_health_projector.worker.lag import Lag
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.projection.rebuild import RebuildSettings, rebuild
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, load
from waiting import WAIT, Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
EventsIn = Callable[..., Awaitable[list[Event]]]
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
PATH = "/webhook/health/history"


def fact(kind: type[Event], second: int, waba_id: str = "1", **details: Any) -> Event:
    event_id = fact_id(kind.type, str(second), waba_id, str(details))
    time = START + timedelta(seconds=second)
    return kind.model_validate({"waba_id": waba_id, "id": event_id, "time": time, **details})


def synced(second: int, waba_id: str = "1") -> Event:
    counts: dict[str, Any] = {"total": 3, "approved": 2, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    return fact(TemplatesSynced, second, waba_id, sync_id=f"s{second}", reason="manual", started_at=START, **counts)


def good(org_id: str = "demo", waba_id: str = "1", **connection: Any) -> list[Event]:
    return [
        fact(AccountConnected, 0, waba_id, org_id=org_id, **connection),
        fact(CallbackVerified, 1, waba_id, callback_url="https://wabus.example"),
        synced(2, waba_id),
    ]


def failed(second: int) -> Event:
    about: dict[str, Any] = {"sync_id": f"f{second}", "reason": "manual", "started_at": START}
    return fact(TemplateSyncFailed, second, **about, code="account_not_found", message="It is gone.", retryable=False)


def last_status(client: Client, headers: dict[str, str], status: str) -> Callable[[], Awaitable[Any]]:
    async def told() -> Any:
        answer = await (await client.get(PATH, headers=headers)).json()
        return answer if answer["changes"] and answer["changes"][0]["to"] == status else None

    return told


async def test_the_history_tells_when_it_turned_red_and_why_and_when_green_again(
    topics: IdentitySettings, publisher: Publisher, serve: Serve, bearer: Bearer, eventually: Eventually
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    await publisher.publish(good())
    await eventually(last_status(client, bearer(), "healthy"))
    await publisher.publish([failed(10)])
    await eventually(last_status(client, bearer(), "failing"))
    await publisher.publish([synced(20)])
    answer: Any = await eventually(last_status(client, bearer(), "healthy"))
    green, red, before = answer["changes"][:3]
    assert (green["from"], green["reasons"], green["until"]) == ("failing", [], None)
    assert (red["from"], red["to"], red["until"]) == ("healthy", "failing", green["at"])
    assert [reason["code"] for reason in red["reasons"]] == ["sync_failing"]
    assert before["to"] == "healthy"
    page = await (await client.get(f"{PATH}?limit=1", headers=bearer())).json()
    rest = await (await client.get(f"{PATH}?limit=1&before={page['next']}", headers=bearer())).json()
    assert (page["changes"], rest["changes"]) == ([green], [red])
    assert (await (await client.get(PATH, headers=bearer("another"))).json()) == {"changes": [], "next": None}
    assert (await client.get(f"{PATH}?limit=0", headers=bearer())).status == 422
    assert (await client.get(PATH)).status == 401


@pytest.mark.long
async def test_of_several_workers_one_tells_what_time_alone_has_changed(
    topics: IdentitySettings,
    publisher: Publisher,
    serve: Serve,
    bearer: Bearer,
    eventually: Eventually,
    events_in: EventsIn,
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings), "api"))
    settings, lag = load(EvaluatorSettings), Lag(topics)
    async with migrated_pool(settings, "wabus_health_projector") as pool:
        judges = [Evaluator(settings, pool, lag, judge_every=1.0) for _ in range(2)]
        loops = [lag.run, partial(projector.run, topics, pool), partial(history.run, topics, pool)]
        running = [asyncio.create_task(run(lambda: None)) for run in (*loops, *(judge.run for judge in judges))]
        expires = datetime.now(UTC) + timedelta(seconds=8)
        await publisher.publish(good(token_expires_at=expires))
        answer: Any = await eventually(last_status(client, bearer(), "failing"))
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    change = answer["changes"][0]
    assert [reason["code"] for reason in change["reasons"]] == ["token_expired"]
    assert datetime.fromisoformat(change["since"]) == expires
    told = [event for event in await events_in(HEALTH) if isinstance(event, HealthChanged)]
    assert len({event.id for event in told}) == len(told) == len(answer["changes"])
    assert [event.org_id for event in told] == ["demo"] * len(told)


async def test_when_the_worker_that_judges_stops_another_takes_over(
    topics: IdentitySettings, publisher: Publisher, serve: Serve, bearer: Bearer, eventually: Eventually
) -> None:
    first = await serve(create_app(load(HealthProjectorSettings), "worker"))
    client = await serve(create_app(load(HealthProjectorSettings)))
    await publisher.publish(good())
    await eventually(last_status(client, bearer(), "healthy"))
    await first.close()
    await publisher.publish([failed(10)])
    await eventually(last_status(client, bearer(), "failing"))


async def test_a_change_told_twice_is_one_row(topics: IdentitySettings, publisher: Publisher) -> None:
    async with migrated_pool(load(DatabaseSettings), "wabus_health_projector") as pool:
        change = HealthChanged(id=fact_id("x"), time=START, org_id="demo", to_status="healthy", since=START)
        again = change.model_copy(update={"time": START + timedelta(hours=1)})
        task = asyncio.create_task(history.run(load(IdentitySettings), pool, lambda: None))
        positions = await publisher.publish([change, again])
        ends = {(positions[-1].topic, positions[-1].partition): positions[-1].offset + 1}
        assert await wait_for(pool, history.NAME, ends, WAIT)
        task.cancel()
        await asyncio.wait([task])
        assert [row["at"] for row in await pool.fetch("SELECT at FROM health_history")] == [START]
        said: list[str] = []
        await rebuild(load(RebuildSettings), history.PROJECTION, said.append)
        assert said == ["verified health_history: 1 rows are the same", "swapped: health_history"]
        assert [row["at"] for row in await pool.fetch("SELECT at FROM health_history")] == [START]

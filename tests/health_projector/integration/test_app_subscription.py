"""Our app's own subscription at Meta: fields that it lacks are added, callbacks that are not ours are left alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client import REGISTRY
from simulated_meta import Store, new_world
from simulated_meta.state import WEBHOOK_FIELDS
from support.meta_openapi import create_meta
from wabus_health_projector.worker.app_subscriber import POSTS_MOST, AppSubscriber, AppSubscriberSettings
from wabus_runtime.graph.client import Graph
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import load
from wabus_whatsapp.webhook_fields import FIELDS, Subscription

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

NONE = timedelta(0)
HOUR = timedelta(hours=1)
ALL = set(FIELDS)


@dataclass
class Deployment:
    """A callback that shakes hands as a gateway does, the simulated Meta, and workers that look after the app."""

    store: Store
    meta: Client
    callback: str
    pool: asyncpg.Pool
    settings: AppSubscriberSettings
    shakes_hands: bool = True
    graphs: list[Graph] = field(default_factory=list[Graph])

    async def worker(self, **settings: Any) -> AppSubscriber:
        given = self.settings.model_copy(update=settings)
        graph = Graph(given)
        self.graphs.append(graph)
        return AppSubscriber(given, self.pool, graph)

    async def calls(self) -> dict[str, int]:
        listed = (await (await self.meta.get("/_control/calls", params={"path": "subscriptions"})).json())["data"]
        return {method: sum(each["method"] == method for each in listed) for method in ("GET", "POST")}

    async def change(self, **app: Any) -> None:
        assert (await self.meta.patch("/_control/app", json=app)).status == 200


@pytest.fixture
async def deployment(
    environment: dict[str, str], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Deployment]:
    async def handshake(request: web.Request) -> web.Response:
        right = made.shakes_hands and request.query.get("hub.verify_token") == environment["META_VERIFY_TOKEN"]
        return web.Response(text=request.query["hub.challenge"] if right else "no", status=200 if right else 403)

    gateway = web.Application()
    gateway.router.add_get("/webhooks/whatsapp", handshake)
    url = str((await serve(gateway)).make_url("")).rstrip("/")
    store = Store(new_world(environment["META_APP_ID"], environment["META_APP_SECRETS"].split(",")))
    meta = await serve(create_meta(store))
    monkeypatch.setenv("PUBLIC_URL", url)
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    settings = load(AppSubscriberSettings)
    async with migrated_pool(settings, "wabus_health_projector") as pool:
        made = Deployment(store, meta, f"{url}/webhooks/whatsapp", pool, settings)
        store.world.callback_url, store.world.callback_verified = made.callback, True
        yield made
        for graph in made.graphs:
            await graph.__aexit__()


def gauge() -> float:
    kinds = ("failing", "degraded", "notice")
    return sum(REGISTRY.get_sample_value("wabus_app_fields_missing", {"kind": kind}) or 0 for kind in kinds)


async def test_what_is_sent_from_the_phone_is_missing_for_ever_for_nobody_clicked_it_in_the_dashboard(
    deployment: Deployment,
) -> None:
    await deployment.change(fields=["messages", "flows"])
    worker = await deployment.worker()

    await worker.look(NONE)

    assert set(deployment.store.world.app_fields) == ALL | {"flows"}
    assert deployment.store.world.callback_url == deployment.callback
    known = await worker.known()
    assert known is not None
    assert (known.missing(deployment.callback), gauge()) == ((), 0)
    await worker.look(NONE)
    assert await deployment.calls() == {"GET": 2, "POST": 1}


async def test_an_app_that_nobody_has_set_up_yet_gets_callback_and_fields(deployment: Deployment) -> None:
    await deployment.change(fields=[], callback_url=None)
    await (await deployment.worker()).look(NONE)
    world = deployment.store.world
    assert (world.callback_url, world.callback_verified, set(world.app_fields)) == (deployment.callback, True, ALL)


@pytest.mark.parametrize("fields", [["messages"], list(WEBHOOK_FIELDS)])
async def test_another_service_of_the_same_app_loses_its_webhooks_to_us(
    deployment: Deployment, fields: list[str]
) -> None:
    elsewhere = "https://elsewhere.example/hook"
    await deployment.change(fields=fields, callback_url=elsewhere)
    worker = await deployment.worker()

    await worker.look(NONE)

    world = deployment.store.world
    assert (world.callback_url, world.app_fields, await deployment.calls()) == (
        elsewhere,
        fields,
        {"GET": 1, "POST": 0},
    )
    known = await worker.known()
    assert known is not None
    assert known.callback_url == elsewhere
    assert "account_update" in known.missing(deployment.callback)
    assert gauge() == len(known.missing(deployment.callback))


async def test_whoever_sets_up_the_app_by_hand_is_told_and_nothing_is_changed(deployment: Deployment) -> None:
    await deployment.change(fields=["messages"])
    worker = await deployment.worker(health_subscribe_fields=False)

    await worker.look(NONE)

    assert (deployment.store.world.app_fields, gauge()) == (["messages"], len(ALL) - 1)
    assert await deployment.calls() == {"GET": 1, "POST": 0}


async def test_a_thousand_accounts_and_four_workers_ask_once_a_quarter_of_an_hour(deployment: Deployment) -> None:
    workers = [await deployment.worker() for _ in range(4)]
    await asyncio.gather(*(worker.look(HOUR) for worker in workers for _ in range(25)))
    assert await deployment.calls() == {"GET": 1, "POST": 0}
    assert await workers[3].known() == Subscription(deployment.callback, tuple(sorted(WEBHOOK_FIELDS)))
    await workers[1].look(NONE)
    assert (await deployment.calls())["GET"] == 2


async def test_one_field_that_meta_does_not_have_keeps_the_others_from_us(deployment: Deployment) -> None:
    unknown = {"standby", "account_offboarded"}
    deployment.store.world.offered_fields = [name for name in WEBHOOK_FIELDS if name not in unknown]
    await deployment.change(fields=["messages"])
    worker = await deployment.worker()

    await worker.look(NONE)

    assert set(deployment.store.world.app_fields) == ALL - unknown
    posts = (await deployment.calls())["POST"]
    assert posts <= POSTS_MOST
    known = await worker.known()
    assert known is not None
    assert set(known.missing(deployment.callback)) == unknown
    await worker.look(NONE)
    assert (await deployment.calls())["POST"] == posts


async def test_where_meta_refuses_many_fields_the_rest_comes_at_the_next_looks(deployment: Deployment) -> None:
    known_to_meta = [name for at, name in enumerate(FIELDS) if at % 2 == 0]
    deployment.store.world.offered_fields = known_to_meta
    await deployment.change(fields=[])
    worker = await deployment.worker()

    await worker.look(NONE)
    assert (await deployment.calls())["POST"] == POSTS_MOST
    await worker.look(NONE)
    assert (await deployment.calls())["POST"] == POSTS_MOST
    for _ in range(3):
        await deployment.pool.execute("UPDATE app_subscription SET tried_at = tried_at - interval '1 hour'")
        await worker.look(NONE)

    assert set(deployment.store.world.app_fields) == set(known_to_meta)
    posts = (await deployment.calls())["POST"]
    await worker.look(NONE)
    assert (await deployment.calls())["POST"] == posts


async def test_a_gateway_that_is_not_there_yet_is_not_asked_for_again_and_again(deployment: Deployment) -> None:
    await deployment.change(fields=["messages"])
    deployment.shakes_hands = False
    worker = await deployment.worker()

    await worker.look(NONE)
    await worker.look(NONE)

    assert (deployment.store.world.app_fields, (await deployment.calls())["POST"]) == (["messages"], 1)
    deployment.shakes_hands = True
    await deployment.pool.execute("UPDATE app_subscription SET tried_at = tried_at - interval '16 minutes'")
    await worker.look(NONE)
    assert set(deployment.store.world.app_fields) == ALL


async def test_what_was_known_of_the_app_is_forgotten_when_meta_refuses_it_for_an_hour(
    deployment: Deployment,
) -> None:
    await deployment.change(fields=["messages"])
    worker = await deployment.worker(health_subscribe_fields=False)
    await worker.look(NONE)
    before = await worker.known()

    deployment.store.world.app_secrets = ["another"]
    await worker.look(NONE)

    assert before is not None
    assert await worker.known() == before

"""Active checks against the simulated Meta: what somebody changed there shows in health, with its cause."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client import REGISTRY
from pydantic import SecretStr
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_WABA
from simulated_meta.state import SendingHealth
from support.meta_openapi import create_meta
from wabus_events import (
    ACCOUNTS,
    HEALTH,
    AccountChecked,
    CredentialStored,
    Event,
    HealthChanged,
    TemplatesSynced,
    Topic,
)
from wabus_gateway.app import GatewaySettings
from wabus_gateway.app import create_app as create_gateway
from wabus_gateway.worker.connect import ConnectSettings, connect
from wabus_health_projector.app import HealthProjectorSettings, create_app
from wabus_runtime.credentials.credential_cache import following_credentials
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import CredentialSettings, KafkaSettings, load
from wabus_whatsapp.webhook_fields import FIELDS
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]


@pytest.fixture
async def store(topics: KafkaSettings, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The simulated Meta's world; Graph and a gateway run, and the settings point to them."""
    monkeypatch.setenv("HEALTH_CHECK_ASKED_PAUSE", "0")
    gateway = await serve(create_gateway(load(GatewaySettings)))
    monkeypatch.setenv("PUBLIC_URL", str(gateway.make_url("")).rstrip("/"))
    store = Store(new_world("1234567890", ["an-app-secret-for-tests"]))
    store.world.callback_url = str(gateway.make_url("/webhooks/whatsapp"))
    store.world.verify_token, store.world.callback_verified = os.environ["META_VERIFY_TOKEN"], True
    meta = await serve(create_meta(store))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    return store


@pytest.fixture
async def client(store: Store, serve: Serve, bearer: Bearer, eventually: Eventually) -> Client:
    """The health-projector, with the demo account connected to `demo` and known to it."""
    return await connected(store, serve, bearer, eventually)


async def connected(
    store: Store, serve: Serve, bearer: Bearer, eventually: Eventually, *, subscribe: bool = True
) -> Client:
    client = await serve(create_app(load(HealthProjectorSettings)))
    settings = load(ConnectSettings)
    async with Graph(settings) as graph, following_credentials(settings) as replica:
        await connect(
            settings,
            graph,
            replica,
            org_id="demo",
            waba_id=DEMO_WABA,
            token=SecretStr(next(iter(store.world.tokens))),
            clock=lambda: datetime.now(UTC),
            connected_by="test",
            subscribe=subscribe,
        )

    async def ready() -> bool:
        health = await (await client.get("/webhook/health/detailed", headers=bearer())).json()
        return (await client.get("/readyz")).status == 200 and bool(health["wabas"])

    await eventually(ready)
    return client


async def checked(client: Client, headers: dict[str, str]) -> Any:
    """The answer after a check that somebody asked for."""
    answer = await client.post("/webhook/health/check", headers={**headers, "Prefer": "wait=20"})
    assert (answer.status, (await answer.json())["status"]) == (200, "checked")
    return await (await client.get("/webhook/health/detailed", headers=headers)).json()


def codes(health: Any) -> set[str]:
    return {reason["code"] for reason in health["reasons"]} - {"first_sync_pending"}


async def test_a_check_of_an_account_in_order_is_evidence_and_is_told_once(
    client: Client, bearer: Bearer, events_in: EventsIn
) -> None:
    for _ in range(2):
        await checked(client, bearer())
    health = await checked(client, bearer())
    waba = health["wabas"][0]
    assert codes(health) == set()
    assert "webhook_configuration" in [proof["kind"] for proof in waba["evidence"]]
    assert {name: waba["phones"][0][name] for name in ("status", "throughput", "quality", "messaging_limit")} == {
        "status": "CONNECTED",
        "throughput": "STANDARD",
        "quality": "GREEN",
        "messaging_limit": "TIER_2K",
    }
    assert len([event for event in await events_in(ACCOUNTS) if isinstance(event, AccountChecked)]) == 1


async def test_an_account_that_was_connected_before_learns_whose_it_is_and_its_zone_from_the_next_check(
    client: Client, store: Store, bearer: Bearer, events_in: EventsIn
) -> None:
    waba = store.world.wabas[DEMO_WABA]
    await checked(client, bearer())
    waba.timezone_id, waba.currency, waba.country = "71", "INR", "IN"
    next(iter(waba.phones.values())).is_on_biz_app = True

    (account,) = (await checked(client, bearer()))["wabas"]

    details = {"portfolio_id": store.world.business_id, "time_zone": "Asia/Kolkata", "currency": "INR", "country": "IN"}
    assert {name: account[name] for name in details} == details
    assert account["phones"][0]["coexistence"] is True
    event = [each for each in await events_in(ACCOUNTS) if isinstance(each, AccountChecked)][-1]
    assert (event.time_zone_id, event.time_zone, event.portfolio_id) == (71, "Asia/Kolkata", store.world.business_id)
    assert (event.can_send_message, event.restrictions, event.fields_missing) == ("AVAILABLE", [], [])


async def test_a_check_fails_wholly_because_graph_has_some_fields_no_more(
    client: Client, store: Store, bearer: Bearer
) -> None:
    numbers = ("health_status", "is_on_biz_app", "throughput", "name_status", "webhook_configuration")
    accounts = ("health_status", "country", "on_behalf_of_business_info")
    store.world.retired |= {f"WhatsAppBusinessPhoneNumber.{name}": "gone" for name in numbers}
    store.world.retired |= {f"WhatsAppBusinessAccount.{name}": "gone" for name in accounts}
    store.world.wabas[DEMO_WABA].subscribed_apps.clear()

    health = await checked(client, bearer())

    assert "webhook_unsubscribed" in codes(health)
    assert (health["wabas"][0]["currency"], health["wabas"][0]["phones"][0]["status"]) == ("EUR", "CONNECTED")


async def test_a_number_that_nobody_registered_is_named_with_what_to_do(
    client: Client, store: Store, bearer: Bearer
) -> None:
    phone = next(iter(store.world.wabas[DEMO_WABA].phones.values()))
    phone.registered = False
    health = await checked(client, bearer())
    assert (health["status"], codes(health)) == ("pending", {"number_not_registered"})
    (reason,) = [each for each in health["reasons"] if each["code"] == "number_not_registered"]
    assert phone.display_phone_number in reason["message"]
    assert "PIN" in reason["remedy"]
    phone.registered = True
    assert codes(await checked(client, bearer())) == set()


async def test_what_meta_says_keeps_an_account_from_sending_is_told_with_its_advice(
    client: Client, store: Store, bearer: Bearer
) -> None:
    advice = {"error_code": 141006, "error_description": "The card was declined.", "possible_solution": "Add a card."}
    store.world.health[DEMO_WABA] = SendingHealth(can_send_message="BLOCKED", errors=[advice])
    info = ["Your display name is not approved yet."]
    store.world.health[store.world.business_id] = SendingHealth(can_send_message="LIMITED", additional_info=info)

    health = await checked(client, bearer())

    assert (health["status"], codes(health)) == ("failing", {"payment_problem", "sending_limited"})
    told = {reason["code"]: reason for reason in health["reasons"]}
    assert told["payment_problem"]["remedy"] == "Add a card."
    assert "not approved yet" in told["sending_limited"]["message"]
    store.world.health.clear()
    assert codes(await checked(client, bearer())) == set()


async def test_fields_that_the_app_lacks_are_subscribed_to_by_the_check(
    client: Client, store: Store, bearer: Bearer
) -> None:
    store.world.app_fields = ["messages"]
    assert codes(await checked(client, bearer())) == set()
    assert set(store.world.app_fields) == set(FIELDS)


async def test_fields_that_it_can_not_subscribe_to_are_named_until_somebody_has(
    client: Client, store: Store, bearer: Bearer
) -> None:
    ours, store.world.callback_url = store.world.callback_url, "https://elsewhere.example/hook"
    health = await checked(client, bearer())
    assert (health["status"], codes(health)) == ("degraded", {"fields_missing"})
    told = " ".join(reason["message"] for reason in health["reasons"] if reason["code"] == "fields_missing")
    assert "elsewhere.example" in told
    assert "“account_update”" in told
    assert store.world.callback_url == "https://elsewhere.example/hook"
    assert health["wabas"][0]["fields_missing"]
    store.world.callback_url = ours
    assert codes(await checked(client, bearer())) == set()


@pytest.mark.long
async def test_who_connects_while_the_gateway_starts_is_red_for_a_quarter_of_an_hour_after(
    store: Store, serve: Serve, bearer: Bearer, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_up = asyncio.Event()

    async def shake_hands(request: web.Request) -> web.Response:
        return web.Response(text=request.query["hub.challenge"] if is_up.is_set() else "", status=200)

    gateway = web.Application()
    gateway.router.add_get("/webhooks/whatsapp", shake_hands)
    url = str((await serve(gateway)).make_url("")).rstrip("/")
    monkeypatch.setenv("PUBLIC_URL", url)
    store.world.callback_url, store.world.app_fields = f"{url}/webhooks/whatsapp", ["messages"]
    client = await connected(store, serve, bearer, eventually, subscribe=False)
    assert "fields_missing" in codes(await checked(client, bearer()))
    is_up.set()

    async def green() -> bool:
        health = await (await client.get("/webhook/health/detailed", headers=bearer())).json()
        return "fields_missing" not in codes(health)

    await eventually(green)


async def test_a_callback_url_that_somebody_changed_is_named_until_it_is_right_again(
    client: Client, store: Store, bearer: Bearer
) -> None:
    subscription = store.world.wabas[DEMO_WABA].subscribed_apps[store.world.app_id]
    ours, subscription.override_callback_uri = subscription.override_callback_uri, "https://elsewhere.example/hook"
    health = await checked(client, bearer())
    assert (health["status"], codes(health)) == ("failing", {"webhook_misrouted"})
    assert "elsewhere.example" in health["reasons"][0]["message"]
    subscription.override_callback_uri = ours
    assert codes(await checked(client, bearer())) == set()


async def test_a_token_that_cannot_be_opened_fails_its_checks_is_counted_and_holds_up_none_after(
    client: Client, store: Store, bearer: Bearer, publisher: Publisher, eventually: Eventually
) -> None:
    def failed() -> float:
        return REGISTRY.get_sample_value("wabus_account_checks_total", {"outcome": "failed"}) or 0.0

    before = failed()
    token = SecretStr(next(iter(store.world.tokens)))
    sealed = Keyring(load(CredentialSettings)).seal(token, org_id="demo", waba_id=DEMO_WABA)
    stored = CredentialStored(
        id=str(uuid4()), time=datetime.now(UTC), org_id="demo", waba_id=DEMO_WABA, key_id=sealed.key_id,
        nonce=sealed.nonce, ciphertext=sealed.ciphertext,
    )  # fmt: skip
    await publisher.publish([stored.model_copy(update={"id": str(uuid4()), "key_id": "lost"})])

    async def counted() -> bool:
        await client.post("/webhook/health/check", headers=bearer())
        return failed() > before

    await eventually(counted)
    await publisher.publish([stored])

    async def goes_on() -> bool:
        answer = await client.post("/webhook/health/check", headers={**bearer(), "Prefer": "wait=5"})
        return (await answer.json())["status"] == "checked"

    await eventually(goes_on)
    assert codes(await checked(client, bearer())) == set()


async def test_an_app_that_was_unsubscribed_is_named(client: Client, store: Store, bearer: Bearer) -> None:
    store.world.wabas[DEMO_WABA].subscribed_apps.clear()
    assert "webhook_unsubscribed" in codes(await checked(client, bearer()))


async def test_a_revoked_token_turns_health_red_at_once_and_a_restored_one_green(
    client: Client, store: Store, bearer: Bearer
) -> None:
    token = next(iter(store.world.tokens.values()))
    token.revoked = True
    health = await checked(client, bearer())
    assert (health["status"], codes(health)) == ("failing", {"token_expired"})
    token.revoked = False
    assert codes(await checked(client, bearer())) == set()


async def test_every_customer_is_told_that_their_token_expired_when_our_app_secret_was_reset(
    client: Client, store: Store, bearer: Bearer, publisher: Publisher, events_in: EventsIn, eventually: Eventually
) -> None:
    now = datetime.now(UTC)
    numbers: dict[str, int] = dict.fromkeys(("total", "approved", "added", "changed", "removed"), 0)
    sync: dict[str, Any] = {"sync_id": "s", "reason": "connected", "started_at": now, "by_status": {}, **numbers}
    await publisher.publish([TemplatesSynced(id="s", time=now, org_id="demo", waba_id=DEMO_WABA, **sync)])

    async def healthy() -> bool:
        health = await (await client.get("/webhook/health/detailed", headers=bearer())).json()
        changes = [event for event in await events_in(HEALTH) if isinstance(event, HealthChanged)]
        return health["status"] == "healthy" and bool(changes) and changes[-1].to_status == "healthy"

    async def refused() -> float:
        return REGISTRY.get_sample_value("wabus_account_checks_total", {"outcome": "app_refused"}) or 0.0

    await checked(client, bearer())
    await eventually(healthy)
    changes, checks = await events_in(HEALTH), len(await events_in(ACCOUNTS))
    before, right = await refused(), store.world.app_secrets
    store.world.app_secrets = ["the-one-after-the-reset"]
    assert (await client.post("/webhook/health/check", headers=bearer())).status == 202

    async def counted() -> bool:
        return await refused() > before

    await eventually(counted)
    health = await (await client.get("/webhook/health/detailed", headers=bearer())).json()
    assert (health["status"], health["reasons"], health["last_error"]) == ("healthy", [], None)
    store.world.app_secrets = right
    assert (await checked(client, bearer()))["status"] == "healthy"
    assert await events_in(HEALTH) == changes
    known = (await events_in(ACCOUNTS))[checks:]
    assert [type(event).__name__ for event in known] == ["AccountCheckRequested"] * 2


async def test_what_meta_no_longer_says_by_webhook_a_check_finds(client: Client, store: Store, bearer: Bearer) -> None:
    await checked(client, bearer())
    phone = next(iter(store.world.wabas[DEMO_WABA].phones.values()))
    phone.quality_rating, phone.messaging_limit_tier, phone.name_status = "RED", "TIER_250", "DECLINED"
    phone.status = "BANNED"
    health = await checked(client, bearer())
    assert codes(health) == {
        "phone_quality_red",
        "messaging_limit_lowered",
        "display_name_rejected",
        "phone_not_connected",
    }
    (number,), last = health["wabas"][0]["phones"], health["wabas"][0]["last_events"]
    assert (number["messaging_limit"], number["messaging_limit_since"]) == ("TIER_250", last["check_at"])


async def test_nobody_learns_that_meta_lowered_the_limit_when_graph_gives_the_number_none_of_its_own(
    client: Client, store: Store, bearer: Bearer
) -> None:
    phone = next(iter(store.world.wabas[DEMO_WABA].phones.values()))
    (number,) = (await checked(client, bearer()))["wabas"][0]["phones"]
    assert number["messaging_limit"] == "TIER_2K"
    phone.messaging_limit_tier = "TIER_250"
    health = await checked(client, bearer())
    assert codes(health) == {"messaging_limit_lowered"}
    assert health["wabas"][0]["phones"][0]["messaging_limit"] == "TIER_250"


async def test_a_check_that_was_asked_for_just_before_a_restart_is_lost_for_hours(
    client: Client, store: Store, serve: Serve, bearer: Bearer, eventually: Eventually
) -> None:
    await checked(client, bearer())
    meta = os.environ["META_GRAPH_URL"].rstrip("/")

    async def answer_after(milliseconds: int) -> None:
        async with aiohttp.request("POST", f"{meta}/_control/faults", json={"latency_ms": milliseconds}) as answer:
            assert answer.status == 200

    async def under_way() -> bool:
        return f"check {DEMO_WABA}" in {task.get_name() for task in asyncio.all_tasks()}

    async def over() -> bool:
        return not await under_way()

    await eventually(over)
    store.world.wabas[DEMO_WABA].subscribed_apps.clear()
    await answer_after(5_000)
    assert (await client.post("/webhook/health/check", headers=bearer())).status == 202

    await eventually(under_way)
    await client.close()
    await answer_after(0)
    again = await serve(create_app(load(HealthProjectorSettings)))

    async def ready() -> bool:
        return (await again.get("/readyz")).status == 200

    async def found() -> bool:
        answer = await again.get("/webhook/health/detailed", headers=bearer())
        return answer.status == 200 and "webhook_unsubscribed" in codes(await answer.json())

    await eventually(ready)
    await eventually(found)


async def test_only_an_admin_with_an_account_can_ask_for_a_check(client: Client, bearer: Bearer) -> None:
    assert (await client.post("/webhook/health/check", headers=bearer(role="member"))).status == 403
    assert (await client.post("/webhook/health/check", headers=bearer("another"))).status == 404

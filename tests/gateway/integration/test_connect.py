"""Connecting a WABA against the simulated Meta, with a real gateway answering the handshake."""

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_WABA
from support.meta_openapi import create_meta
from wabus_events import ACCOUNTS, CREDENTIALS, AccountConnected, AccountDisconnected, CallbackVerified, Event, Topic
from wabus_gateway.app import GatewaySettings
from wabus_gateway.app import create_app as create_gateway
from wabus_gateway.worker.connect import (
    ConnectRefused,
    ConnectSettings,
    connect,
    disconnect,
    granted_by_of,
    reseal,
)
from wabus_runtime.credentials.credential_cache import following_credentials
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.kafka.clients import client_options, topic_name
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import KafkaSettings, load
from waiting import WAIT, Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]


@pytest.fixture
async def store(topics: KafkaSettings, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The simulated Meta's world; Graph and a gateway run, and the settings point to them."""
    gateway = await serve(create_gateway(load(GatewaySettings)))
    monkeypatch.setenv("PUBLIC_URL", str(gateway.make_url("")))
    store = Store(new_world("1234567890", ["an-app-secret-for-tests"]))
    meta = await serve(create_meta(store))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    return store


def token_of(store: Store) -> SecretStr:
    return SecretStr(next(iter(store.world.tokens)))


async def connected(
    store: Store, org_id: str = "demo", waba_id: str = DEMO_WABA, token: SecretStr | None = None
) -> AccountConnected:
    settings = load(ConnectSettings)
    async with Graph(settings) as graph, following_credentials(settings) as replica:
        return await connect(
            settings,
            graph,
            replica,
            org_id=org_id,
            waba_id=waba_id,
            token=token or token_of(store),
            clock=lambda: datetime.now(UTC),
            connected_by="test",
        )


async def disconnected(org_id: str, waba_id: str = DEMO_WABA) -> AccountDisconnected:
    settings = load(ConnectSettings)
    async with Graph(settings) as graph, following_credentials(settings) as replica:
        return await disconnect(
            settings,
            graph,
            replica,
            org_id=org_id,
            waba_id=waba_id,
            clock=lambda: datetime.now(UTC),
            reason="requested",
        )


async def test_connecting_verifies_the_callback_and_writes_credential_and_fact(
    store: Store, events_in: EventsIn, eventually: Eventually
) -> None:
    account = await connected(store)
    numbers = [(phone.display_phone_number, phone.messaging_limit) for phone in account.phone_numbers]
    assert numbers == [("+1 555-078-3881", "TIER_2K")]

    async def written() -> bool:
        return [type(event) for event in await events_in(ACCOUNTS)] == [CallbackVerified, AccountConnected]

    assert await eventually(written)
    settings = load(ConnectSettings)
    async with following_credentials(settings) as replica:
        credential = replica.credential(DEMO_WABA)
        assert credential is not None
        assert Keyring(settings).open(credential) == token_of(store)
        assert replica.owner(DEMO_WABA) == "demo"


async def test_a_later_service_can_not_tell_by_which_days_an_account_is_charged_or_whose_it_is(store: Store) -> None:
    waba = store.world.wabas[DEMO_WABA]
    waba.timezone_id, waba.currency, waba.country = "71", "INR", "IN"
    phone = next(iter(waba.phones.values()))
    phone.is_on_biz_app, phone.throughput = True, "HIGH"

    account = await connected(store)

    told = (account.portfolio_id, account.time_zone_id, account.time_zone, account.currency, account.country)
    assert told == (store.world.business_id, 71, "Asia/Kolkata", "INR", "IN")
    (number,) = account.phone_numbers
    details = (number.status, number.platform_type, number.throughput, number.coexistence)
    assert details == ("CONNECTED", "CLOUD_API", "HIGH", True)


async def test_nobody_can_connect_because_graph_has_a_field_no_more(store: Store) -> None:
    gone = ("country", "owner_business_info", "on_behalf_of_business_info", "currency", "timezone_id")
    store.world.retired |= {f"WhatsAppBusinessAccount.{name}": "gone" for name in gone}
    store.world.retired["WhatsAppBusinessPhoneNumber.is_on_biz_app"] = "gone"

    account = await connected(store)

    assert (account.portfolio_id, account.time_zone, account.currency, account.country) == (None, None, None, None)
    assert [(phone.platform_type, phone.coexistence) for phone in account.phone_numbers] == [("CLOUD_API", None)]


async def test_nobody_can_connect_when_meta_wants_the_app_subscribed_before_its_callback(store: Store) -> None:
    assert store.world.wabas[DEMO_WABA].subscribed_apps == {}
    account = await connected(store)
    subscription = store.world.wabas[DEMO_WABA].subscribed_apps[store.world.app_id]
    assert subscription.override_callback_uri == account.callback_url


async def test_an_account_connects_again_after_it_was_disconnected(store: Store) -> None:
    waba = store.world.wabas[DEMO_WABA]
    first = await connected(store)
    await disconnected("demo")
    assert waba.subscribed_apps == {}
    assert (await connected(store)).callback_url == first.callback_url
    assert waba.subscribed_apps[store.world.app_id].override_callback_uri == first.callback_url


async def test_an_app_that_gets_no_messages_at_meta_is_not_taken_for_a_callback_that_meta_cannot_reach(
    store: Store, events_in: EventsIn
) -> None:
    store.world.app_fields.remove("messages")
    with pytest.raises(ConnectRefused, match="App Dashboard") as caught:
        await connected(store)
    assert caught.value.code == "app_not_subscribed"
    assert await events_in(ACCOUNTS) == []


async def test_a_customer_with_a_good_token_is_told_that_it_expired_when_our_app_secret_was_reset(
    store: Store, events_in: EventsIn
) -> None:
    store.world.app_secrets = ["the-one-after-the-reset"]
    with pytest.raises(ConnectRefused, match="whoever runs this service") as caught:
        await connected(store)
    assert caught.value.code == "app_refused"
    assert await events_in(ACCOUNTS) == []


async def test_disconnecting_works_while_meta_refuses_our_app_too(store: Store) -> None:
    await connected(store)
    store.world.app_secrets = ["the-one-after-the-reset"]
    await disconnected("demo")
    async with following_credentials(load(ConnectSettings)) as replica:
        assert len(replica) == 0


async def test_the_token_is_nowhere_in_kafka_but_sealed(store: Store, topics: KafkaSettings) -> None:
    await connected(store)
    names = [topic_name(topics, topic) for topic in (ACCOUNTS, CREDENTIALS)]
    consumer = AIOKafkaConsumer(*names, **client_options(topics), auto_offset_reset="earliest")
    await consumer.start()
    try:
        records = [await asyncio.wait_for(consumer.getone(), WAIT) for _ in range(3)]
    finally:
        await consumer.stop()
    secret = token_of(store).get_secret_value().encode()
    assert not [
        record for record in records if secret in (record.value or b"") or secret in repr(record.headers).encode()
    ]


async def test_a_waba_of_another_organisation_is_refused_until_it_is_disconnected_there(store: Store) -> None:
    await connected(store, "first")
    with pytest.raises(ConnectRefused, match="another organisation"):
        await connected(store, "second")
    with pytest.raises(ConnectRefused, match="not connected"):
        await disconnected("second")
    await disconnected("first")
    assert (await connected(store, "second")).org_id == "second"


async def test_reconnecting_replaces_the_token(store: Store) -> None:
    await connected(store)
    await connected(store)
    async with following_credentials(load(ConnectSettings)) as replica:
        assert len(replica) == 1


async def test_disconnecting_works_with_a_dead_token_too(
    store: Store, events_in: EventsIn, eventually: Eventually
) -> None:
    await connected(store)
    next(iter(store.world.tokens.values())).revoked = True
    await disconnected("demo")

    async def written() -> bool:
        return isinstance((await events_in(ACCOUNTS))[-1], AccountDisconnected)

    assert await eventually(written)
    async with following_credentials(load(ConnectSettings)) as replica:
        assert len(replica) == 0


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ("revoked", "token_expired"),
        ("scope", "permission_missing"),
        ("other account", "account_not_shared"),
        ("id", "account_not_found"),
    ],
)
async def test_a_token_that_will_not_do_is_refused_with_a_reason(
    store: Store, events_in: EventsIn, spoil: str, code: str
) -> None:
    token = next(iter(store.world.tokens.values()))
    waba_id = DEMO_WABA
    match spoil:
        case "revoked":
            token.revoked = True
        case "scope":
            token.scopes = ["whatsapp_business_messaging"]
        case "id":
            waba_id = "../me"
        case _:
            token.waba_ids = ["1"]
    with pytest.raises(ConnectRefused) as caught:
        await connected(store, waba_id=waba_id)
    assert caught.value.code == code
    assert await events_in(ACCOUNTS) == []


async def test_whoever_gives_a_portfolios_id_for_an_account_is_told_that_we_must_repair_it(store: Store) -> None:
    token = next(iter(store.world.tokens.values()))
    token.names_targets = False  # as of a system user's
    with pytest.raises(ConnectRefused) as caught:
        await connected(store, waba_id=store.world.wabas[DEMO_WABA].business_id)
    assert caught.value.code == "account_not_found"
    assert "not the id of a WhatsApp Business account" in caught.value.message
    assert "WhatsApp Business Account ID" in caught.value.message


async def test_whoever_brings_a_token_of_another_app_is_told_that_we_must_repair_it(store: Store) -> None:
    said = "(#100) The App_id in the input_token did not match the Viewing App"
    fail = {"status": 400, "code": 100, "message": said, "path": "debug_token"}
    meta = os.environ["META_GRAPH_URL"].rstrip("/")
    async with aiohttp.request("POST", f"{meta}/_control/faults", json={"fail": fail}) as answer:
        assert answer.status == 200
    with pytest.raises(ConnectRefused) as caught:
        await connected(store)
    assert caught.value.code == "token_of_another_app"
    assert "META_APP_ID" in caught.value.message


async def test_nobody_can_connect_with_a_token_that_can_all_but_is_listed_without_a_permission(store: Store) -> None:
    token = next(iter(store.world.tokens.values()))
    token.unlisted_scopes = ["whatsapp_business_management"]
    account = await connected(store)
    assert "whatsapp_business_management" not in account.scopes
    assert [number.phone_number_id for number in account.phone_numbers]


async def test_a_callback_that_meta_cannot_reach_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:9")
    with pytest.raises(ConnectRefused, match="PUBLIC_URL") as caught:
        await connected(store)
    assert caught.value.code == "callback_unreachable"


async def test_keys_are_rotated_while_everything_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_at = (await connected(store)).time
    old = load(ConnectSettings).credential_keys.get_secret_value()
    new = "k2:" + base64.b64encode(b"2" * 32).decode()
    monkeypatch.setenv("CREDENTIAL_KEYS", f"{new},{old}")
    settings = load(ConnectSettings)
    async with following_credentials(settings) as replica:
        assert await reseal(settings, replica, waba_id=DEMO_WABA)
        assert not await reseal(settings, replica, waba_id=DEMO_WABA)
    monkeypatch.setenv("CREDENTIAL_KEYS", new)
    settings = load(ConnectSettings)
    async with following_credentials(settings) as replica:
        credential = replica.credential(DEMO_WABA)
        assert credential is not None
        assert Keyring(settings).open(credential) == token_of(store)
        assert credential.org_id == "demo"
        assert credential.time == stored_at  # the token is as old as before


async def test_the_id_of_a_facebook_user_that_an_earlier_release_stored_becomes_one_that_names_nobody(
    store: Store, publisher: Publisher
) -> None:
    await connected(store)
    settings = load(ConnectSettings)
    async with following_credentials(settings) as replica:
        credential = replica.credential(DEMO_WABA)
        assert credential is not None
        granted_by = credential.granted_by
        assert granted_by is not None
        old = credential.model_copy(update={"id": "old", "meta_user_id": "61555822107539", "granted_by": None})
        await publisher.publish([old])
        await replica.refresh()
        assert await reseal(settings, replica, waba_id=DEMO_WABA)
        assert not await reseal(settings, replica, waba_id=DEMO_WABA)
        renewed = replica.credential(DEMO_WABA)
        assert renewed is not None
        assert renewed.meta_user_id is None
        assert renewed.granted_by == granted_by_of(settings.identity_bytes, "61555822107539") != granted_by
        assert Keyring(settings).open(renewed) == token_of(store)


async def test_keys_are_rotated_while_somebody_connects_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await connected(store)
    old = load(ConnectSettings).credential_keys.get_secret_value()
    monkeypatch.setenv("CREDENTIAL_KEYS", "k2:" + base64.b64encode(b"2" * 32).decode() + "," + old)
    settings = load(ConnectSettings)
    async with following_credentials(settings) as replica:
        before = replica.credential(DEMO_WABA)
        outcomes = await asyncio.gather(
            connected(store), reseal(settings, replica, waba_id=DEMO_WABA), return_exceptions=True
        )
        assert all(isinstance(outcome, AccountConnected | bool | ConnectRefused) for outcome in outcomes)
        await reseal(settings, replica, waba_id=DEMO_WABA)
        await replica.refresh()
        credential = replica.credential(DEMO_WABA)
        assert before is not None
        assert credential is not None
        assert (credential.key_id, Keyring(settings).open(credential)) == ("k2", token_of(store))
        assert credential.time >= before.time


async def test_of_two_who_connect_at_once_one_is_told_or_both_agree(store: Store) -> None:
    outcomes = await asyncio.gather(connected(store, "a"), connected(store, "b"), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, AccountConnected)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, ConnectRefused)]
    assert len(won) == 1
    assert len(refused) == 1
    async with following_credentials(load(ConnectSettings)) as replica:
        assert replica.owner(DEMO_WABA) == won[0].org_id

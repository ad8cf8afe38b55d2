"""The gateway on real Kafka: what it answers, and what is in Kafka when it has."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from structlog.testing import capture_logs
from wabus_events import (
    ACCOUNTS,
    MESSAGES,
    AccountUpdated,
    CallbackVerified,
    CallReported,
    CredentialStored,
    Event,
    MessageReceived,
    MessageStatusChanged,
    Record,
    Topic,
    Unrecognised,
    WebhookSeen,
)
from wabus_events.testing import an
from wabus_events.webhooks.unrecognised import from_unrecognised
from wabus_gateway.app import GatewaySettings, create_app
from wabus_gateway.webhooks.signature import verify_token_of
from wabus_gateway.worker import publish as intake
from wabus_local.kafka import EmbeddedKafka
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.service.process import FRONT, serving
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually
from webhooks import WABA, conversation, encoded, signed, status, text, webhook

Client = ClientSession
Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]
PATH = "/webhooks/whatsapp"


@pytest.fixture(params=["front", "aiohttp alone"])
async def gateway(
    topics: KafkaSettings, request: pytest.FixtureRequest, eventually: Eventually
) -> AsyncIterator[Client]:
    """As it is served, and without what sees connections before aiohttp does: both must answer alike."""
    app = create_app(load(GatewaySettings))
    if request.param != "front":
        del app[FRONT]
    async with served(app, eventually) as client:
        yield client


@asynccontextmanager
async def served(app: web.Application, eventually: Eventually) -> AsyncGenerator[Client]:
    """A gateway that is ready: before, on a busy machine, a webhook may have to be delivered again."""
    async with serving(app, "127.0.0.1", 0) as ports, ClientSession(f"http://127.0.0.1:{ports[0]}") as client:

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status == 200

        await eventually(is_ready)
        yield client


async def test_a_signed_webhook_is_in_kafka_when_it_is_answered(gateway: Client, events_in: EventsIn) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.A")], statuses=[status("wamid.B"), status("wamid.C")])))
    answer = await gateway.post(PATH, data=body, headers=signed(body))
    assert answer.status == 200
    wamids = [
        event.wamid for event in await events_in(MESSAGES) if isinstance(event, MessageReceived | MessageStatusChanged)
    ]
    assert sorted(wamids) == ["wamid.A", "wamid.B", "wamid.C"]


@pytest.mark.parametrize("both", [False, True])
async def test_subscribers_of_what_had_no_model_can_have_it_as_before_for_one_release(
    topics: KafkaSettings,
    events_in: EventsIn,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    both: bool,
) -> None:
    monkeypatch.setenv("TELL_UNRECOGNISED_TOO", str(both).lower())
    call = {"id": "wacid.A", "event": "connect", "from": "16505551234", "direction": "USER_INITIATED"}
    body = encoded(webhook({**conversation(calls=[call]), "field": "calls"}))
    async with served(create_app(load(GatewaySettings)), eventually) as client:
        assert (await client.post(PATH, data=body, headers=signed(body))).status == 200
    told = await events_in(MESSAGES)
    assert {type(event) for event in told} == {CallReported, *([Unrecognised] if both else [])}
    [reported] = [event for event in told if isinstance(event, CallReported)]
    for event in told:
        if isinstance(event, Unrecognised):
            assert [each.id for each in from_unrecognised(event)] == [reported.id]


async def test_the_first_webhook_of_a_waba_leaves_evidence_once(gateway: Client, events_in: EventsIn) -> None:
    for wamid in ("wamid.A", "wamid.B"):
        body = encoded(webhook(conversation(messages=[text(wamid)])))
        assert (await gateway.post(PATH, data=body, headers=signed(body))).status == 200
    assert [event.waba_id for event in await events_in(ACCOUNTS) if isinstance(event, WebhookSeen)] == [WABA]


async def test_no_person_gets_into_the_evidence_that_is_kept_for_ever(gateway: Client, events_in: EventsIn) -> None:
    change = {"field": "of Ann, +1 650 555 1234", "value": {"to": "Mars"}}
    body = encoded(webhook(change))
    assert (await gateway.post("/webhooks/whatsapp", data=body, headers=signed(body))).status == 200
    (seen,) = [event for event in await events_in(ACCOUNTS) if isinstance(event, WebhookSeen)]
    assert seen.field == "Unrecognised"


async def test_an_account_that_moves_has_evidence_for_its_new_organisation_the_same_day(
    gateway: Client, publisher: Publisher, events_in: EventsIn, eventually: Eventually
) -> None:
    delivered = 0

    async def told_for(org_id: str) -> list[WebhookSeen]:
        nonlocal delivered
        delivered += 1
        body = encoded(webhook(conversation(messages=[text(f"wamid.{delivered}")])))
        assert (await gateway.post(PATH, data=body, headers=signed(body))).status == 200
        seen = [event for event in await events_in(ACCOUNTS) if isinstance(event, WebhookSeen)]
        return seen if seen[-1].org_id == org_id else []

    for org_id in ("earlier", "owner"):
        await publisher.publish([an(CredentialStored, waba_id=WABA, org_id=org_id)])
        assert await eventually(lambda org_id=org_id: told_for(org_id))
    seen = await told_for("owner")
    assert [event.org_id for event in seen if event.org_id] == ["earlier", "owner"]
    assert len({event.id for event in seen}) == len(seen)


async def test_an_account_is_not_without_evidence_for_a_day_because_another_part_was_too_large(
    gateway: Client, events_in: EventsIn
) -> None:
    large = conversation(messages=[text("wamid.B", body="CUT" + "é" * 1_490_000)])
    payload = webhook(conversation(messages=[text("wamid.A")]), large)
    body = json.dumps(payload, ensure_ascii=False).encode().replace(b"CUT", b"\\ud83d")
    assert (await gateway.post(PATH, data=body, headers=signed(body))).status == 200
    assert [type(event) for event in await events_in(MESSAGES)] == [Unrecognised]
    body = encoded(webhook(conversation(messages=[text("wamid.C")])))
    assert (await gateway.post(PATH, data=body, headers=signed(body))).status == 200
    assert [event.waba_id for event in await events_in(ACCOUNTS) if isinstance(event, WebhookSeen)] == [WABA]


async def test_what_a_partner_is_told_of_an_account_is_no_evidence_of_the_partners_portfolio(
    gateway: Client, events_in: EventsIn
) -> None:
    info = {"waba_id": WABA, "owner_business_id": "2329417887457253"}
    removed = {"field": "account_update", "value": {"event": "PARTNER_REMOVED", "waba_info": info}}
    solution = {"field": "partner_solutions", "value": {"event": "SOLUTION_UPDATED", "solution_id": "1"}}
    body = encoded(webhook(removed, solution, waba_id="2949482758682047"))
    assert (await gateway.post(PATH, data=body, headers=signed(body))).status == 200
    told = {type(event): event.subject for event in await events_in(ACCOUNTS)}
    assert told == {AccountUpdated: WABA, WebhookSeen: WABA}


async def test_the_first_webhook_after_a_start_already_carries_its_organisation(
    topics: KafkaSettings, publisher: Publisher, events_in: EventsIn
) -> None:
    others = [an(CredentialStored, waba_id=str(number), org_id="others") for number in range(3_000)]
    await publisher.publish([*others, an(CredentialStored, waba_id=WABA, org_id="acme")])
    body = encoded(webhook(conversation(messages=[text("wamid.A")])))
    async with (
        serving(create_app(load(GatewaySettings)), "127.0.0.1", 0) as ports,
        ClientSession(f"http://127.0.0.1:{ports[0]}") as client,
    ):
        assert (await client.post(PATH, data=body, headers=signed(body))).status == 200
    assert [event.org_id for event in await events_in(MESSAGES)] == ["acme"]
    assert [event.org_id for event in await events_in(ACCOUNTS)] == ["acme"]


async def test_nobody_searches_for_why_webhooks_are_refused_without_a_line_that_says_where(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_self: Publisher, _records: Sequence[Record]) -> None:
        raise RuntimeError("with somebody's words")

    monkeypatch.setattr(Publisher, "store", broken)
    body = encoded(webhook(conversation(messages=[text("wamid.A"), text("wamid.B")])))
    with capture_logs() as logged:
        answer = await gateway.post(PATH, data=body, headers=signed(body))
    assert answer.status in (500, 503)
    (line,) = [line for line in logged if line.get("action") in ("webhook_failed", "request_failed")]
    assert line["path"] == PATH
    assert line["exc_info"]


async def test_a_webhook_that_breaks_the_short_cut_is_taken_the_long_way(
    gateway: Client, monkeypatch: pytest.MonkeyPatch, events_in: EventsIn
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(intake, "single_event_of", broken)
    body = encoded(webhook(conversation(messages=[text("wamid.A")])))
    with capture_logs() as logged:
        assert (await gateway.post(PATH, data=body, headers=signed(body))).status == 200
    assert [type(event) for event in await events_in(MESSAGES)] == [MessageReceived]
    assert all(line["exc_info"] for line in logged if line.get("action") == "short_cut_failed")


async def test_a_secret_that_is_being_rotated_out_is_still_accepted(gateway: Client) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.A")])))
    assert (await gateway.post(PATH, data=body, headers=signed(body, "the-one-before-it"))).status == 200


@pytest.mark.parametrize("break_it", ["tampered", "wrong secret", "sha1", "missing", "short", "no prefix"])
async def test_what_is_not_signed_by_meta_is_refused_and_leaves_no_event(
    gateway: Client, events_in: EventsIn, break_it: str
) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.A")])))
    headers = signed(body)
    good = headers["X-Hub-Signature-256"]
    match break_it:
        case "tampered":
            body = body.replace(b"Hello", b"Hullo")
        case "wrong secret":
            headers = signed(body, "another secret")
        case "sha1":
            headers["X-Hub-Signature-256"] = good.replace("sha256", "sha1")
        case "missing":
            del headers["X-Hub-Signature-256"]
        case "short":
            headers["X-Hub-Signature-256"] = good[:-2]
        case _:
            headers["X-Hub-Signature-256"] = good.removeprefix("sha256=")
    answer = await gateway.post(PATH, data=body, headers=headers)
    assert answer.status == 403
    assert await events_in(MESSAGES) == []
    assert await events_in(ACCOUNTS) == []


async def test_what_is_signed_but_not_understood_is_kept_whole(gateway: Client, events_in: EventsIn) -> None:
    for body in (b'{"not json', b'{"a": 1e999}', encoded(webhook({"field": "new_in_2031", "value": {"a": 1}}))):
        assert (await gateway.post(PATH, data=body, headers=signed(body))).status == 200
    kept = [event for event in await events_in(MESSAGES) if isinstance(event, Unrecognised)]
    assert len(kept) == 3
    assert [event.value for event in kept if event.field == "new_in_2031"] == [{"a": 1}]


async def test_a_body_over_3_mb_is_refused_before_its_signature_is_computed(gateway: Client) -> None:
    answer = await gateway.post(PATH, data=b" " * (3 * 1024 * 1024 + 1), headers=signed(b""))
    assert answer.status == 413


async def test_a_body_of_3_mb_is_published(gateway: Client, events_in: EventsIn) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.A", body="x" * 3_140_000)])))
    assert (await gateway.post(PATH, data=body, headers=signed(body))).status == 200
    assert len(await events_in(MESSAGES)) == 1


async def test_metas_handshake_is_answered_with_its_challenge(gateway: Client) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "a-verify-token-for-tests", "hub.challenge": "1158201444"}
    answer = await gateway.get(PATH, params=query)
    assert (answer.status, answer.content_type, await answer.text()) == (200, "text/plain", "1158201444")


@pytest.mark.parametrize("wrong", [{"hub.verify_token": "guess"}, {"hub.mode": "unsubscribe"}])
async def test_a_handshake_with_a_wrong_token_or_mode_is_refused(gateway: Client, wrong: dict[str, str]) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "a-verify-token-for-tests", "hub.challenge": "1", **wrong}
    assert (await gateway.get(PATH, params=query)).status == 403


async def test_the_handshake_on_a_wabas_own_callback_is_evidence(gateway: Client, events_in: EventsIn) -> None:
    token = verify_token_of(WABA, "a-verify-token-for-tests")
    query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "42"}
    assert (await gateway.get(f"{PATH}/{WABA}", params=query)).status == 200
    assert (await gateway.get(f"{PATH}/99", params=query)).status == 403
    evidence = await events_in(ACCOUNTS)
    assert [type(event) for event in evidence] == [CallbackVerified]


async def test_a_burst_of_concurrent_webhooks_loses_nothing(gateway: Client, events_in: EventsIn) -> None:
    async def post(number: int) -> int:
        body = encoded(webhook(conversation(messages=[text(f"wamid.{number}", sender=str(number % 40))])))
        return (await gateway.post(PATH, data=body, headers=signed(body))).status

    statuses = await asyncio.gather(*(post(number) for number in range(300)))
    assert set(statuses) == {200}
    assert len({event.id for event in await events_in(MESSAGES)}) == 300


async def test_while_kafka_is_away_the_answer_is_503_and_afterwards_200(
    environment: dict[str, str],
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[[Callable[[], Awaitable[object]]], Awaitable[object]],
    own_kafka: EmbeddedKafka,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", own_kafka.bootstrap_servers)
    gateway = await serve(create_app(load(GatewaySettings)))
    body = encoded(webhook(conversation(messages=[text("wamid.A")])))

    async def post() -> int:
        return (await gateway.post(PATH, data=body, headers=signed(body))).status

    assert await post() == 200
    await own_kafka.kill()
    answer = await gateway.post(PATH, data=body, headers=signed(body))
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    started = asyncio.get_running_loop().time()
    assert await post() == 503
    assert asyncio.get_running_loop().time() - started < 0.5
    assert (await gateway.get("/readyz")).status == 503
    await own_kafka.start()

    async def taken() -> bool:
        return await post() == 200

    await eventually(taken)


@pytest.fixture
async def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedKafka]:
    """A broker that a test may kill."""
    port, controller_port = free_ports(2)
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), port, controller_port=controller_port)
    await broker.start()
    yield broker
    await broker.stop()

"""What `/openapi.json` says is what the API does: schemathesis asks the real one, with good and with bad requests."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import schemathesis
from aiohttp import ClientSession, web
from hypothesis import HealthCheck, Phase, given, settings
from pydantic_settings import BaseSettings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from template_world import ORDER, Bearer, Client, Meta, Publish, Serve, connection, synced_status
from threads import ANNA, ANNA_ID, START, WABA, echoed, received, status
from wabus_conversations.app import create_app as create_conversations
from wabus_conversations.settings import ConversationsSettings
from wabus_events import (
    AccountConnected,
    Event,
    ExperimentDefined,
    ExperimentPlan,
    ExperimentStarted,
    MessageReported,
    SendRequested,
)
from wabus_events.models.insights.experiments import DrawnSlice, PlannedArm
from wabus_gateway.app import GatewaySettings
from wabus_gateway.app import create_app as create_gateway
from wabus_health_projector.app import HealthProjectorSettings
from wabus_health_projector.app import create_app as create_health
from wabus_insights.app import create_app as create_insights
from wabus_insights.settings import InsightsSettings
from wabus_runtime.http.openapi import description, installed_operations
from wabus_runtime.settings import KafkaSettings, load
from wabus_sender.app import create_app as create_sender
from wabus_sender.settings import SenderSettings
from wabus_subscriptions.app import create_app as create_subscriptions
from wabus_subscriptions.settings import SubscriptionsSettings
from wabus_template_sync.app import TemplateSyncSettings
from wabus_template_sync.app import create_app as create_templates
from waiting import Eventually

pytest_plugins = ["template_world"]
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
"""Schemathesis does."""

EXAMPLES = 12  # of each operation and mode
EXAMPLES_OF_SYNC = 4  # each of them publishes
ACTED_ON = (
    "/conversations/{conversation_id}/",
    "/teams",
    "/routing",
    "/experiments/{experiment_id}/",
)  # and here each waits for a fold
ADDRESS_MAX = 8_000  # characters; longer ones the HTTP server refuses before anybody looks at them
BODY_MAX = 64 * 1024  # bytes; larger ones are refused for that alone
FRAMING = {"transfer-encoding", "upgrade", "expect"}
"""Headers about the connection: made up, the HTTP server refuses them before anybody looks at them."""
REFUSED = {
    "/templates",
    "/performance/templates",
    "/performance/templates/{template_id}",
    "/performance/templates/{template_id}/failures",
    "/performance/failures",
    "/performance/enable",
    "/budgets",  # a version that there is not
    "/conversations",
    "/conversations/search",
    "/conversations/ws",
    "/contacts",
    "/conversations/{conversation_id}/messages",
    "/conversations/{conversation_id}/assign",
    "/conversations/{conversation_id}/close",
    "/conversations/{conversation_id}/notes",
    "/conversations/{conversation_id}/read",
    "/conversations/{conversation_id}/snooze",
    "/conversations/{conversation_id}/tags",
    "/routing",
    "/teams",
    "/subscriptions",
    "/subscriptions/{subscription_id}",
    "/subscriptions/{subscription_id}/deliveries",
    "/subscriptions/{subscription_id}/replay",
    "/messages",
    "/messages/batch",
    "/messages/check",
    "/messages/read",
    "/messages/reported",
    "/messages/block",
    "/messages/keywords",
    "/messages/unblock",
    "/messages/opt-in",
    "/messages/opt-out",
    "/experiments",
    "/experiments/plan",
    "/experiments/{experiment_id}/start",
    "/experiments/{experiment_id}/stop",
    "/experiments/{experiment_id}/decide",
    "/experiments/{experiment_id}/assign",
    "/sends",
    "/sends/{send_id}/again",
    "/templates/{template_id}/render",
    "/whatsapp/connect",
    "/whatsapp/setup",
    "/whatsapp/setup/{waba_id}",
}
"""What is valid and refused all the same: a cursor that is none of ours, parameters that another template has, a code
that Meta has not given, a sign-up that nobody began, an address that is none, a name that no event has, a moment in the
future, an arm that an experiment has not."""
NOT_NEGATED = {"/templates/{template_id}/render"}
"""Where schemathesis can't make up wrong bodies: it gives up on a list that is either of two kinds."""
UNCHECKED = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.nested_given)
"""How hard it is to make requests up says nothing about the API."""
KNOWN = {"template_id": ORDER, "sync_id": "unknown"}
"""What a path is asked with in every second example; made-up ids are found nowhere."""


@pytest.fixture
async def address(service: Client, meta: Meta, publish: Publish, bearer: Bearer, eventually: Eventually) -> str:
    """Of an API that has the demo account's templates."""
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))
    return str(service.make_url("")).rstrip("/")


def operations(address: str, *prefixes: str) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    """What the document describes below these prefixes: one service's part of it."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    for found in schema.get_all_operations():
        operation = cast(Any, found).ok()
        if operation.path.startswith(prefixes):
            yield operation


def explore(
    operation: APIOperation[Any, Any, Any, Any],
    address: str,
    headers: dict[str, str],
    known: Mapping[str, str] = KNOWN,
) -> None:
    """Ask with made-up requests, and hold every answer against the document."""
    ids = {name: value for name, value in known.items() if f"{{{name}}}" in operation.path}

    excluded = [positive_data_acceptance] if operation.path in REFUSED else []
    if operation.method == "get":
        # A parameter whose made-up value is an empty list is not sent at all, so nothing wrong with it can be refused.
        excluded.append(negative_data_rejection)

    def holds(case: Case[Any]) -> None:
        answer = case.call(base_url=address, headers=headers, timeout=30)
        body = answer.request.body
        if len(str(answer.request.url)) > ADDRESS_MAX or (isinstance(body, bytes | str) and len(body) > BODY_MAX):
            return
        if FRAMING & {name.lower() for name in answer.request.headers} and answer.status_code == 400:
            return
        case.validate_response(answer, excluded_checks=excluded)

    waits = operation.path.endswith("/sync") or operation.path.startswith(ACTED_ON)
    examples = EXAMPLES_OF_SYNC if operation.method != "get" and waits else EXAMPLES
    phases = [Phase.explicit, Phase.generate]
    for mode in (GenerationMode.POSITIVE,) if operation.path in NOT_NEGATED else GenerationMode:
        for path_parameters in [None, ids] if ids else [None]:
            bounded = settings(
                max_examples=examples, database=None, derandomize=True, phases=phases, suppress_health_check=UNCHECKED
            )
            made_up = operation.as_strategy(generation_mode=mode, path_parameters=path_parameters)
            bounded(given(made_up)(holds))()


@pytest.fixture
async def health_address(meta: Meta, topics: KafkaSettings, publish: Publish, serve: Serve, bearer: Bearer,
                         eventually: Eventually) -> str:  # fmt: skip
    """Of an API that knows how the demo account is."""
    client = await serve(create_health(load(HealthProjectorSettings)))
    await publish(connection(meta.token))

    async def known() -> bool:
        return (await (await client.get("/webhook/health", headers=bearer())).json())["waba_id"] is not None

    await eventually(known)
    return str(client.make_url("")).rstrip("/")


@pytest.fixture
async def gateway_address(meta: Meta, topics: KafkaSettings, serve: Serve, eventually: Eventually) -> str:
    """Of the gateway, while no account is connected."""
    client = await serve(create_gateway(load(GatewaySettings)))

    async def ready() -> bool:
        return (await client.get("/readyz")).status == 200

    await eventually(ready)
    return str(client.make_url("")).rstrip("/")


async def test_the_gateways_endpoints_answer_as_the_document_says(gateway_address: str, bearer: Bearer) -> None:
    found = await asyncio.to_thread(lambda: list(operations(gateway_address, "/whatsapp", "/webhooks")))
    for operation in found:
        await asyncio.to_thread(explore, operation, gateway_address, bearer())

    assert len(found) == 8


async def test_no_request_gets_a_500_and_every_answer_is_as_the_document_says(address: str, bearer: Bearer) -> None:
    for operation in await asyncio.to_thread(lambda: list(operations(address, "/templates"))):
        await asyncio.to_thread(explore, operation, address, bearer())


@pytest.fixture
async def inbox_address(topics: KafkaSettings, publish: Publish, serve: Serve, bearer: Bearer,
                        eventually: Eventually) -> str:  # fmt: skip
    """Of an API that has a conversation."""
    client = await serve(create_conversations(load(ConversationsSettings)))
    await publish([*connected_with_a_message()])

    async def known() -> bool:
        return bool((await (await client.get("/conversations", headers=bearer())).json())["conversations"])

    await eventually(known)
    return str(client.make_url("")).rstrip("/")


def connected_with_a_message() -> Iterator[Event]:
    """An account, what somebody wrote to it, what was answered, and what was said about both."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    yield AccountConnected(id="c", time=now - timedelta(days=1), org_id="demo", waba_id=WABA)
    for event in (
        received("a", 1, ANNA, ANNA_ID, name="Anna", referral={"source_type": "ad"}),
        received("b", 2, ANNA, ANNA_ID, context="a"),
        echoed("c", 3, ANNA, ANNA_ID, text={"body": "c"}),
        status("c", "delivered", 4, ANNA, ANNA_ID),
        status("c", "failed", 5, ANNA, ANNA_ID, codes=[131026]),
        received("d", 6, ANNA, ANNA_ID, kind="reaction", reaction={"message_id": "c", "emoji": "+"}),
        received("e", 7, ANNA, ANNA_ID, group="g"),
    ):
        yield event.model_copy(update={"time": event.time - START + now, "org_id": "demo"})


INBOX = ("/conversations", "/contacts", "/stream", "/media", "/teams", "/routing")


@pytest.mark.long
async def test_the_endpoints_of_conversations_answer_as_the_document_says(inbox_address: str, bearer: Bearer) -> None:
    async with ClientSession(inbox_address, headers=bearer()) as session:
        async with session.get("/conversations") as answer:
            conversation = next(each for each in (await answer.json())["conversations"] if each["contact"] is not None)
        async with session.get(f"/conversations/{conversation['conversation_id']}/messages") as answer:
            message = next(each for each in (await answer.json())["messages"] if each["direction"] == "out")
    known = {
        "conversation_id": conversation["conversation_id"],
        "message_id": message["message_id"],
        "contact_id": conversation["contact"]["contact_id"],
    }
    found = await asyncio.to_thread(lambda: list(operations(inbox_address, *INBOX)))
    for operation in sorted(found, key=lambda each: each.method == "delete"):
        if operation.path.endswith("/stream"):  # which has no end
            continue
        await asyncio.to_thread(explore, operation, inbox_address, bearer(), known)

    assert len(found) == 29


async def test_the_endpoints_of_subscriptions_answer_as_the_document_says(
    topics: KafkaSettings, serve: Serve, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "true")  # or each made-up host would be looked up
    client = await serve(create_subscriptions(load(SubscriptionsSettings), "api"))
    receiver = {"url": "http://localhost:9/"}
    async with client.post("/subscriptions", json=receiver, headers=bearer()) as answer:
        known = {"subscription_id": (await answer.json())["subscription_id"]}
    here = str(client.make_url("")).rstrip("/")
    found = await asyncio.to_thread(lambda: list(operations(here, "/subscriptions")))
    for operation in sorted(found, key=lambda each: each.method == "delete"):
        await asyncio.to_thread(explore, operation, here, bearer(), known)

    assert len(found) == 10


@pytest.fixture
async def sender_address(topics: KafkaSettings, publish: Publish, serve: Serve, bearer: Bearer,
                         eventually: Eventually) -> str:  # fmt: skip
    """Of an API that has a send."""
    client = await serve(create_sender(load(SenderSettings)))
    await publish([asked_to_send()])

    async def known() -> bool:
        return (await client.get(f"/sends/{SEND}", headers=bearer())).status == 200

    await eventually(known)
    return str(client.make_url("")).rstrip("/")


SEND = "7c1d2f3e-8a55-4d0c-9d4f-1f3f8f8f2a10"


def asked_to_send() -> SendRequested:
    now = datetime.now(UTC)
    return SendRequested(
        id="s", time=now, org_id="demo", waba_id=WABA, phone_number_id="1", send_id=SEND, lane="service", kind="text",
        to=ANNA, message={"type": "text", "text": {"body": "a"}}, not_before=now + timedelta(hours=1),
        expires_at=now + timedelta(hours=2),
    )  # fmt: skip


@pytest.mark.long
async def test_the_endpoints_of_the_sender_answer_as_the_document_says(sender_address: str, bearer: Bearer) -> None:
    found = await asyncio.to_thread(lambda: list(operations(sender_address, "/messages", "/sends", "/numbers")))
    for operation in found:
        await asyncio.to_thread(explore, operation, sender_address, bearer(), {"send_id": SEND})

    assert len(found) == 22


@pytest.fixture
async def insights_address(topics: KafkaSettings, publish: Publish, serve: Serve, bearer: Bearer,
                           eventually: Eventually) -> str:  # fmt: skip
    """Of an API that has a template which another system sent."""
    client = await serve(create_insights(load(InsightsSettings)))
    await publish([reported_template()])

    async def known() -> bool:
        return (await client.get(f"/performance/templates/{ORDER}", headers=bearer())).status == 200

    await eventually(known)
    return str(client.make_url("")).rstrip("/")


def reported_template() -> MessageReported:
    return MessageReported(
        id="r", time=datetime.now(UTC), org_id="demo", waba_id=WABA, phone_number_id="1", wamid="wamid.R", wa_id=ANNA,
        kind="template", template_name="order", template_language="en", template_id=ORDER,
    )  # fmt: skip


@pytest.mark.long
async def test_the_endpoints_of_performance_answer_as_the_document_says(insights_address: str, bearer: Bearer) -> None:
    found = await asyncio.to_thread(lambda: list(operations(insights_address, "/performance")))
    for operation in found:
        await asyncio.to_thread(explore, operation, insights_address, bearer())

    assert len(found) == 5


@pytest.mark.long
async def test_the_endpoints_of_planning_answer_as_the_document_says(insights_address: str, bearer: Bearer) -> None:
    found = await asyncio.to_thread(
        lambda: list(operations(insights_address, "/budgets", "/advice", "/costs/forecast", "/costs/reconciliation"))
    )
    for operation in found:
        await asyncio.to_thread(explore, operation, insights_address, bearer())

    assert len(found) == 6


EXPERIMENT = "0f8fad5b-d9cb-469f-a165-70867728950e"


def begun_experiment() -> Iterator[Event]:
    """An experiment of nothing against a template, into which people are drawn."""
    arms = [PlannedArm(arm="A", weight=5_000), PlannedArm(arm="B", weight=5_000, template_name="order",
                                                          template_language="en", category="MARKETING")]  # fmt: skip
    plan = ExperimentPlan(
        name="Offer", waba_id=WABA, control="A", metric="replied", outcome_hours=72, alpha=0.05, minimum_days=7,
        minimum_per_arm=100, days=30, arms=arms,
    )  # fmt: skip
    now = datetime.now(UTC)
    about: dict[str, Any] = {"time": now, "org_id": "demo", "experiment_id": EXPERIMENT, "plan_hash": plan.digest()}
    yield ExperimentDefined(id="defined", plan=plan, salt="salt", **about)
    slices = [DrawnSlice(begin=0, end=5_000, arm="A"), DrawnSlice(begin=5_000, end=10_000, arm="B")]
    yield ExperimentStarted(id="started", epoch=1, slices=slices, ends_at=now + timedelta(days=30), **about)


@pytest.mark.long
async def test_the_endpoints_of_experiments_answer_as_the_document_says(
    insights_address: str, publish: Publish, bearer: Bearer, eventually: Eventually
) -> None:
    await publish([*begun_experiment()])
    async with ClientSession(insights_address, headers=bearer()) as session:

        async def runs() -> bool:
            async with session.get(f"/experiments/{EXPERIMENT}") as answer:
                return answer.status == 200 and (await answer.json())["state"] == "running"

        await eventually(runs)
    known = {"experiment_id": EXPERIMENT}
    found = await asyncio.to_thread(lambda: list(operations(insights_address, "/experiments")))
    ends = ("/stop", "/decide")
    for operation in sorted(found, key=lambda each: each.path.endswith(ends)):
        await asyncio.to_thread(explore, operation, insights_address, bearer(), known)

    assert len(found) == 11


async def test_the_health_endpoints_answer_as_the_document_says(health_address: str, bearer: Bearer) -> None:
    found = await asyncio.to_thread(lambda: list(operations(health_address, "/webhook/health")))
    for operation in found:
        if not operation.path.endswith("/stream"):  # which has no end
            await asyncio.to_thread(explore, operation, health_address, bearer())

    assert len(found) == 5


NOT_FOR_CLIENTS = {
    "/", "/inbox", "/insights", "/favicon.ico", "/healthz", "/metrics", "/openapi.json", "/readyz", "/ui/session",
    "/ui/{folder}/{file}", "/ui/{release}/{folder}/{file}",
    "/webhooks/whatsapp/{waba_id}", "/whatsapp/callback", "/whatsapp/data-deletion",
    "/whatsapp/deauthorize",
}  # fmt: skip
"""The page, probes, and what Meta and the browser that comes back from Meta call."""


@pytest.mark.parametrize(
    ("create", "settings_class"),
    [
        (create_gateway, GatewaySettings),
        (create_templates, TemplateSyncSettings),
        (create_health, HealthProjectorSettings),
        (create_conversations, ConversationsSettings),
        (create_subscriptions, SubscriptionsSettings),
        (create_sender, SenderSettings),
        (create_insights, InsightsSettings),
    ],
)
def test_whichever_service_is_asked_no_address_that_clients_can_call_is_missing_from_the_document(
    environment: dict[str, str], create: Callable[[Any], web.Application], settings_class: type[BaseSettings]
) -> None:
    described = description(installed_operations())["paths"]
    routed = {
        (resource.canonical, route.method.lower())
        for resource in create(load(settings_class)).router.resources()
        for route in resource
    }

    asked_for = {(path, method) for path, method in routed if path not in NOT_FOR_CLIENTS and method != "head"}
    assert asked_for
    assert asked_for == {(path, method) for path in described for method in described[path]} & asked_for
    assert "/openapi.json" in {path for path, _ in routed}


def test_the_document_describes_nothing_that_nobody_answers(environment: dict[str, str]) -> None:
    applications = (
        create_gateway(load(GatewaySettings)),
        create_templates(load(TemplateSyncSettings)),
        create_health(load(HealthProjectorSettings)),
        create_conversations(load(ConversationsSettings)),
        create_subscriptions(load(SubscriptionsSettings)),
        create_sender(load(SenderSettings)),
        create_insights(load(InsightsSettings)),
    )
    answered = {
        (resource.canonical, route.method.lower())
        for application in applications
        for resource in application.router.resources()
        for route in resource
    }

    described = description(installed_operations())["paths"]
    assert {(path, method) for path in described for method in described[path]} <= answered

"""What `/openapi.json` says is what the API does: schemathesis asks the real one, with good and with bad requests."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from template_world import ORDER, Bearer, Client, Meta, Publish, Serve, connection, synced_status
from wabus_gateway.app import GatewaySettings
from wabus_gateway.app import create_app as create_gateway
from wabus_health_projector.app import HealthProjectorSettings
from wabus_health_projector.app import create_app as create_health
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually

pytest_plugins = ["template_world"]
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
"""Schemathesis does."""

EXAMPLES = 12  # of each operation and mode
EXAMPLES_OF_SYNC = 4  # each of them publishes
ADDRESS_MAX = 8_000  # characters; longer ones the HTTP server refuses before anybody looks at them
REFUSED = {"/templates", "/templates/{template_id}/render", "/whatsapp/connect"}
"""What is valid and refused all the same: a cursor that is none of ours, parameters that another template has, a code
that Meta has not given."""
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


def operations(address: str) -> Iterator[APIOperation[Any, Any, Any, Any]]:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    for found in schema.get_all_operations():
        yield cast(Any, found).ok()


def explore(operation: APIOperation[Any, Any, Any, Any], address: str, headers: dict[str, str]) -> None:
    """Ask with made-up requests, and hold every answer against the document."""
    ids = {name: KNOWN[name] for name in KNOWN if f"{{{name}}}" in operation.path}

    excluded = [positive_data_acceptance] if operation.path in REFUSED else []
    if operation.method == "get":
        # A parameter whose made-up value is an empty list is not sent at all, so nothing wrong with it can be refused.
        excluded.append(negative_data_rejection)

    def holds(case: Case[Any]) -> None:
        answer = case.call(base_url=address, headers=headers, timeout=30)
        if len(str(answer.request.url)) > ADDRESS_MAX:
            return
        case.validate_response(answer, excluded_checks=excluded)

    examples = EXAMPLES_OF_SYNC if operation.method == "post" and operation.path.endswith("/sync") else EXAMPLES
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
    found = await asyncio.to_thread(lambda: list(operations(gateway_address)))
    for operation in found:
        await asyncio.to_thread(explore, operation, gateway_address, bearer())

    assert len(found) == 6


async def test_no_request_gets_a_500_and_every_answer_is_as_the_document_says(address: str, bearer: Bearer) -> None:
    for operation in await asyncio.to_thread(lambda: list(operations(address))):
        await asyncio.to_thread(explore, operation, address, bearer())


async def test_the_health_endpoints_answer_as_the_document_says(health_address: str, bearer: Bearer) -> None:
    found = await asyncio.to_thread(lambda: list(operations(health_address)))
    for operation in found:
        if not operation.path.endswith("/stream"):  # which has no end
            await asyncio.to_thread(explore, operation, health_address, bearer())

    assert len(found) == 5

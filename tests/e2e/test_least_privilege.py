"""The rights that the chart gives each service in Kafka are enough for the whole way, and refuse the rest."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.protocol.admin import CreateAclsRequest
from deployment import named
from local_stack import free_ports
from sending_world import template
from system import System, beside_meta, connect_demo
from wabus_local.kafka import EmbeddedKafka
from wabus_runtime.kafka.clients import client_options, ensure_topics
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually
from webhooks import conversation, text, webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

USERS = {
    "wabus_gateway": "wabus-gateway",
    "wabus_template_sync": "wabus-template-sync",
    "wabus_health_projector": "wabus-health-projector",
    "wabus_conversations": "wabus-conversations",
    "wabus_subscriptions": "wabus-subscriptions",
    "wabus_sender": "wabus-sender",
    "wabus_insights": "wabus-insights",
}
# The numbers of Kafka's protocol: ResourceType, PatternType, AclOperation, AclPermissionType.
RESOURCE = {"topic": 2, "group": 3, "cluster": 4, "transactionalId": 5}
PATTERN = {"literal": 3, "prefix": 4}
OPERATION = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8}
ALLOW = 3


@pytest.fixture
async def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, str]]:
    """Where a Kafka listens that asks who one is and looks at the ACLs, and everybody's password; we are its owner."""
    password = secrets.token_hex(8)
    plain, controller, guarded = free_ports(3)
    users = " ".join(f'user_{user}="{password}"' for user in USERS.values())
    both = f"SASL_PLAINTEXT://127.0.0.1:{guarded},PLAINTEXT://127.0.0.1:{plain}"
    broker = EmbeddedKafka(
        tmp_path / "guarded",
        plain,
        controller_port=controller,
        properties={
            "listeners": f"{both},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": both,
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        },
    )
    await broker.start(120)
    try:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
        monkeypatch.setenv("TOPIC_PREFIX", "wabus.")
        await ensure_topics(load(KafkaSettings))
        await grant(broker.bootstrap_servers)
        yield f"127.0.0.1:{guarded}", password
    finally:
        await broker.stop()


async def grant(bootstrap_servers: str) -> None:
    """What Strimzi's user operator makes of the KafkaUsers."""
    client: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await client.start()
    try:
        for name in USERS.values():
            user = named("strimzi", "KafkaUser")[name.removeprefix("wabus-")]
            for acl in user["spec"]["authorization"]["acls"]:
                resource = acl["resource"]
                for operation in acl["operations"]:
                    request = CreateAclsRequest(
                        RESOURCE[resource["type"]], resource["name"], PATTERN[resource["patternType"]], f"User:{name}",
                        "*", OPERATION[operation], ALLOW,
                    )  # fmt: skip
                    answer = await client._send_to_controller(request)
                    assert [code for code, _ in answer.creation_responses] == [0]
    finally:
        await client.close()


def become(monkeypatch: pytest.MonkeyPatch, guarded: tuple[str, str], user: str) -> KafkaSettings:
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": guarded[0],
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": user,
        "KAFKA_SASL_PASSWORD": guarded[1],
    }.items():
        monkeypatch.setenv(name, value)
    return load(KafkaSettings)


async def test_each_service_does_all_its_work_and_nothing_else_with_its_rights(
    environment: dict[str, str],
    database_url: str,
    guarded: tuple[str, str],
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    async with beside_meta(serve, monkeypatch, tmp_path) as system:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", os.environ["META_GRAPH_URL"] + "/nobody")
        monkeypatch.setenv("ALERT_WEBHOOK_SECRET", "whsec_" + "YSBzZWNyZXQgb2YgdGhlIHRlc3RzIG9mIHRoZSBjaGFydA==")
        monkeypatch.setenv("SUBSCRIPTIONS_URL", os.environ["META_GRAPH_URL"] + "/nobody")
        monkeypatch.setenv("SUBSCRIPTIONS_SECRET", "whsec_" + "YSBzZWNyZXQgb2YgdGhlIHRlc3RzIG9mIHRoZSBjaGFydA==")
        more = ("wabus_conversations", "wabus_subscriptions", "wabus_sender", "wabus_insights")
        system.ports |= dict(zip(more, free_ports(4), strict=True))
        for module, user in reversed(USERS.items()):
            become(monkeypatch, guarded, user)
            await system.start(module)
            await eventually(partial(ready, system, module))
        headers = await connect_demo()  # with the gateway's rights
        message = {**text("wamid.1"), "timestamp": str(int(time.time()))}
        assert await system.deliver(webhook(conversation(messages=[message]))) == 200
        async with system.http.post(system.url("wabus_template_sync", "/templates/sync"), headers=headers) as answer:
            assert answer.status == 202
        async with system.http.post(
            system.url("wabus_health_projector", "/webhook/health/check"), headers=headers
        ) as answer:
            assert answer.status == 202, await answer.text()

        async def all_is_told() -> bool:
            health = await system.get("wabus_health_projector", "/webhook/health/detailed", headers)
            history = await system.get("wabus_health_projector", "/webhook/health/history", headers)
            received = [waba["counts"]["last_24h"]["received"] for waba in health["wabas"]]
            return received == [1] and health["status"] == "healthy" and bool(history["changes"])

        await eventually(all_is_told)

        async def has_the_message() -> bool:
            connection = await asyncpg.connect(database_url)
            try:
                return await connection.fetchval("SELECT count(*) FROM conversations.messages") == 1
            finally:
                await connection.close()

        await eventually(has_the_message)

        async def has_told_of_it() -> bool:
            connection = await asyncpg.connect(database_url)
            try:
                return bool(await connection.fetchval("SELECT count(*) FROM subscriptions.deliveries"))
            finally:
                await connection.close()

        await eventually(has_told_of_it)
        keyed = {**headers, "Idempotency-Key": "1"}

        async def has_sent() -> bool:
            async with system.http.post(
                system.url("wabus_sender", "/messages"), json=template(), headers=keyed
            ) as answer:
                sent = await answer.json()
            if answer.status != 202:
                return False
            found = await system.get("wabus_sender", "/sends?state=accepted", headers)
            return [each["send_id"] for each in found["sends"]] == [sent["send_id"]]

        await eventually(has_sent)
        found = await system.get("wabus_conversations", "/conversations", headers)
        contact = found["conversations"][0]["contact"]["contact_id"]
        forget = system.url("wabus_conversations", f"/contacts/{contact}")
        async with system.http.delete(forget, headers={**headers, "Prefer": "wait=30"}) as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "forgotten")
    for module in USERS:
        assert "AuthorizationFailed" not in (tmp_path / f"{module}.log").read_text(), module

    for user, topic in (
        ("wabus-gateway", "messages.v1"),
        ("wabus-template-sync", "messages.v1"),
        ("wabus-conversations", "templates.v1"),
        ("wabus-sender", "health.v1"),
    ):
        assert not await may_read(become(monkeypatch, guarded, user), f"wabus.{topic}"), user
    for user, topic in (("wabus-template-sync", "credentials.v1"), ("wabus-health-projector", "credentials.v1"),
                        ("wabus-health-projector", "messages.v1"), ("wabus-gateway", "health.v1"),
                        ("wabus-conversations", "credentials.v1"), ("wabus-sender", "messages.v1"),
                        ("wabus-sender", "accounts.v1")):  # fmt: skip
        assert not await may_write(become(monkeypatch, guarded, user), f"wabus.{topic}"), user
    assert await may_read(become(monkeypatch, guarded, "wabus-health-projector"), "wabus.messages.v1")
    assert await may_write(become(monkeypatch, guarded, "wabus-gateway"), "wabus.messages.v1")


async def ready(system: System, module: str) -> bool:
    try:
        async with system.http.get(system.url(module, "/readyz")) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def may_read(settings: KafkaSettings, topic: str) -> bool:
    consumer = AIOKafkaConsumer(**client_options(settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(12)])
        async with asyncio.timeout(10):
            await consumer.getmany(timeout_ms=1000)
    except TopicAuthorizationFailedError:
        return False
    finally:
        await consumer.stop()
    return True


async def may_write(settings: KafkaSettings, topic: str) -> bool:
    producer = AIOKafkaProducer(**client_options(settings))
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"{}", partition=0)
    except TopicAuthorizationFailedError:
        return False
    finally:
        await producer.stop()
    return True

"""What tests of the sender have in common: the service beside a simulated Meta, an account, people who have written.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import SecretStr
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import (
    AccountConnected,
    CredentialStored,
    Event,
    MessageReceived,
    MessageStatusChanged,
    PhoneNumber,
    SendRequested,
    StandbyReceived,
)
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import CredentialSettings, load
from wabus_sender.app import create_app
from wabus_sender.settings import SenderDatabaseSettings, SenderSettings
from waiting import Eventually

from support.meta_openapi import create_meta

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
Json = dict[str, Any]

ORG = "demo"
PERSON = "4915123456789"


@dataclass
class Sending:
    """A simulated Meta, an account that is connected, and a place to publish."""

    meta: Client
    token: str
    publisher: Publisher
    bearer: Bearer
    eventually: Eventually

    async def control(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = await self.meta.request(method, f"/_control{path}", json=body)
        assert answer.status == 200, await answer.text()
        return await answer.json()

    async def sent(self) -> list[Json]:
        """The ledger of what was really sent."""
        return (await self.control("GET", "/sent"))["data"]

    async def write(self, *people: str) -> None:
        """Let people write to the number: Meta's window is open, and the log has it."""
        events: list[Event] = []
        for person in people:
            await self.control("POST", "/messages?webhook=false", {"from": person})
            events.append(received(person))
        await self.publisher.publish(events)

    async def connect(self, org_id: str = ORG) -> None:
        await self.publisher.publish(connection(self.token, org_id))

    async def post(self, client: Client, body: Json, status: int = 202, **headers: str) -> Json:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with client.post("/messages", json=body, headers={**self.bearer(ORG, "agent"), **named}) as answer:
            content = await answer.json()
            assert answer.status == status, content
            return content

    async def get(self, client: Client, path: str, status: int = 200) -> Json:
        async with client.get(path, headers=self.bearer(ORG, "agent")) as answer:
            content = await answer.json()
            assert answer.status == status, content
            return content

    async def until(self, client: Client, send_id: str, *states: str) -> Json:
        """The send once it is in one of these states."""
        found: Json = {}

        async def reached() -> bool:
            async with client.get(f"/sends/{send_id}", headers=self.bearer(ORG, "agent")) as answer:
                if answer.status != 200:
                    return False
                found.update(await answer.json())
            return found["state"] in states

        await self.eventually(reached)
        return found


def text(to: str = PERSON, body: str = "It is on its way.", **more: Any) -> Json:
    return {"from": DEMO_PHONE, "to": to, "type": "text", "text": {"body": body}, **more}


def template(to: str = PERSON, **more: Any) -> Json:
    """One that the simulated account has, filled in."""
    components = [
        {"type": "header", "parameters": [{"type": "text", "text": "42"}]},
        {"type": "body", "parameters": [{"type": "text", "text": each} for each in ("Anna", "27. Juni")]},
    ]
    wanted = {"name": "order_confirmation", "language": {"code": "de"}, "components": components}
    return {"from": DEMO_PHONE, "to": to, "type": "template", "template": wanted, **more}


def connection(token: str, org_id: str = ORG) -> list[Event]:
    """What is published when an organisation connects the account."""
    now = datetime.now(UTC)
    sealed = Keyring(load(CredentialSettings)).seal(SecretStr(token), org_id=org_id, waba_id=DEMO_WABA)
    about: dict[str, Any] = {"time": now, "org_id": org_id, "waba_id": DEMO_WABA}
    return [
        CredentialStored(
            id=str(uuid4()), key_id=sealed.key_id, nonce=sealed.nonce, ciphertext=sealed.ciphertext, **about
        ),
        AccountConnected(
            id=str(uuid4()),
            phone_numbers=[PhoneNumber(phone_number_id=DEMO_PHONE, throughput="STANDARD", coexistence=False)],
            **about,
        ),
    ]


def requested(person: str) -> SendRequested:
    now, send_id = datetime.now(UTC), str(uuid4())
    return SendRequested(
        id=f"requested {send_id}", time=now, org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        send_id=send_id, lane="service", kind="text", to=person, message={"type": "text", "text": {"body": send_id}},
        expires_at=now + timedelta(hours=1),
    )  # fmt: skip


def received(person: str, user_id: str | None = None, at: datetime | None = None) -> MessageReceived:
    """A person has written to the number."""
    return MessageReceived(
        id=str(uuid4()), time=at or datetime.now(UTC), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        wamid=f"wamid.{uuid4().hex}", contact=person, user_id=user_id, message_type="text", value={},
    )  # fmt: skip


def copied(person: str, at: datetime | None = None) -> StandbyReceived:
    """A person has written to another responder on the number."""
    return StandbyReceived(
        id=str(uuid4()), time=at or datetime.now(UTC), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        kind="message", wamid=f"wamid.{uuid4().hex}", contact=person, message_type="text", value={},
    )  # fmt: skip


def status(send_id: str, word: str = "sent", person: str = PERSON, wamid: str = "wamid.A") -> MessageStatusChanged:
    """Meta tells what became of a message, by what it was given along with it."""
    value = {"statuses": [{"id": wamid, "status": word, "biz_opaque_callback_data": f"w1:{send_id}"}]}
    return MessageStatusChanged(
        id=str(uuid4()), time=datetime.now(UTC), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        wamid=wamid, contact=person, status=word, value=value,
    )  # fmt: skip


@pytest.fixture
async def sending(
    environment: dict[str, str],
    publisher: Publisher,
    serve: Serve,
    bearer: Bearer,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> Sending:
    world = new_world(environment["META_APP_ID"], environment["META_APP_SECRETS"].split(","))
    meta = await serve(create_meta(Store(world)))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")).rstrip("/"))
    monkeypatch.setenv("GRAPH_TIMEOUT", "10")
    made = Sending(meta, next(iter(world.tokens)), publisher, bearer, eventually)
    await made.connect()
    return made


@pytest.fixture
async def sender(sending: Sending, serve: Serve, eventually: Eventually) -> Client:
    """The whole service, ready, which knows the account's number and that the person has written."""
    await sending.write(PERSON)
    client = await serve(create_app(load(SenderSettings)))
    await until_ready(client, sending, eventually)
    return client


async def until_ready(client: Client, sending: Sending, eventually: Eventually) -> None:
    async def ready() -> bool:
        if (await client.get("/readyz")).status != 200:
            return False
        async with client.post("/messages/check", json=text(), headers=sending.bearer(ORG, "agent")) as answer:
            return answer.status == 200 and (await answer.json())["ok"]

    await eventually(ready)


@pytest.fixture
async def sender_tables(sending: Sending) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(SenderDatabaseSettings), "wabus_sender") as opened:
        yield opened

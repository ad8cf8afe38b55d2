"""What tests of template-sync have in common: the service, the simulated Meta, and events as others publish them.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import SecretStr
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_WABA
from wabus_events import (
    TEMPLATES,
    AccountConnected,
    CredentialStored,
    Event,
    Record,
    Topic,
)
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.kafka.transactions import TransactionalPublisher
from wabus_runtime.settings import CredentialSettings, KafkaSettings, load
from wabus_template_sync.app import TemplateSyncSettings, create_app
from waiting import Eventually

from support.meta_openapi import create_meta

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]
Bearer = Callable[..., dict[str, str]]

DEMO_TEMPLATES = 8
ORDER = "1689556908129832"
"""A template of the demo WABA: order_confirmation in American English."""


class Meta:
    """The simulated Meta and its control API."""

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self.token = token

    async def control(self, method: str, path: str, **body: Any) -> Any:
        answer = await self._client.request(method, f"/_control{path}", json=body)
        assert answer.status == 200, await answer.text()
        return await answer.json()


@pytest.fixture
async def meta(environment: dict[str, str], serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Meta:
    world = new_world(environment["META_APP_ID"], environment["META_APP_SECRETS"].split(","))
    client = await serve(create_meta(Store(world)))
    monkeypatch.setenv("META_GRAPH_URL", str(client.make_url("")).rstrip("/"))
    return Meta(client, next(iter(world.tokens)))


@pytest.fixture
async def publish(topics: KafkaSettings) -> AsyncIterator[Callable[[Sequence[Event | Record]], Awaitable[Any]]]:
    """Publish as another service would, in one transaction."""
    publisher = TransactionalPublisher(topics, "/wabus/test", "test")
    yield publisher.publish
    await publisher.stop()


Publish = Callable[[Sequence[Event | Record]], Awaitable[Any]]


def connection(token: str, waba_id: str = DEMO_WABA, org_id: str = "demo") -> list[Event]:
    """What is published when an organisation connects a WABA."""
    now = datetime.now(UTC)
    sealed = Keyring(load(CredentialSettings)).seal(SecretStr(token), org_id=org_id, waba_id=waba_id)
    about: dict[str, Any] = {"time": now, "org_id": org_id, "waba_id": waba_id}
    credential = CredentialStored(
        id=str(uuid4()), key_id=sealed.key_id, nonce=sealed.nonce, ciphertext=sealed.ciphertext, **about
    )
    return [credential, AccountConnected(id=str(uuid4()), **about)]


async def all_of(events_in: EventsIn, kind: type[Event]) -> list[Any]:
    return [event for event in await events_in(TEMPLATES) if isinstance(event, kind)]


@pytest.fixture
def until(events_in: EventsIn, eventually: Eventually) -> Callable[..., Awaitable[list[Any]]]:
    """Wait until there are so many events of a kind."""

    async def wait(kind: type[Event], count: int = 1) -> list[Any]:
        async def there() -> list[Any]:
            found = await all_of(events_in, kind)
            return found if len(found) >= count else []

        found: Any = await eventually(there)
        return found

    return wait


Until = Callable[..., Awaitable[list[Any]]]


@pytest.fixture
async def service(meta: Meta, topics: KafkaSettings, serve: Serve, eventually: Eventually) -> Client:
    client = await serve(create_app(load(TemplateSyncSettings)))

    async def ready() -> bool:
        return (await client.get("/readyz")).status == 200

    await eventually(ready)
    return client


async def synced_status(service: Client, headers: dict[str, str]) -> Any:
    answer = await (await service.get("/templates/status", headers=headers)).json()
    return answer if answer["status"] in ("synced", "failed") else None

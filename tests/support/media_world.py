"""Messages with media, a simulated Meta that has them, and what fetches them, driven by a clock of the test's own.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

import asyncio
import os
from collections import Counter as Multiset
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import stamina
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import SecretStr
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_WABA
from wabus_conversations.settings import ConversationsDatabaseSettings, ConversationsWorkerSettings
from wabus_conversations.store.objects import MediaStore
from wabus_conversations.worker.media.due import Fetching
from wabus_conversations.worker.media.fetching import Fetcher
from wabus_conversations.worker.media.upkeep import Upkeep
from wabus_events import CredentialStored, Event, MessageReceived, fact_id
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.graph.download import download_session
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import load

from support.meta_openapi import create_meta
from support.thread_rows import fold_all
from support.threads import ANNA, NOW, ORG

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Json = dict[str, Any]


@dataclass
class Clock:
    """A clock that goes on when it is told to."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.at

    def passes(self, **time: float) -> None:
        self.at += timedelta(**time)


@dataclass
class MediaWorld:
    """What a test does with it."""

    meta: Client
    store: Store
    pool: asyncpg.Pool
    files: MediaStore
    folder: Path
    fetching: Fetching
    upkeep: Upkeep
    accounts: "Connected"
    clock: Clock
    stack: AsyncExitStack

    async def send(self, org_id: str = ORG, wamid: str | None = None, **body: Any) -> Json:
        """Somebody sends a medium, and its message is folded: what Meta tells, and its `row`."""
        async with self.meta.post("/_control/media?webhook=false", json=body) as answer:
            assert answer.status == 200, await answer.text()
            told = await answer.json()
        if wamid is not None:
            told["value"]["messages"][0]["id"] = wamid
        await self.fold(event_of(told["value"], org_id))
        return told

    async def fold(self, *events: Event) -> None:
        await fold_all(self.pool, [list(events)])
        # What was folded is due by the clock of the machine.
        self.clock.at = max(self.clock.at, datetime.now(UTC))

    async def change(self, medium: Json, **body: Any) -> None:
        async with self.meta.post(f"/_control/media/{medium['media']['id']}", json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def fail(self, **what: Any) -> None:
        async with self.meta.post(
            "/_control/faults", json={"fail": {"times": 10_000, "status": 503, **what}}
        ) as answer:
            assert answer.status == 200, await answer.text()

    async def work_again(self) -> None:
        """Graph is back, and who asks it has forgotten that it was away, as a process has that was started since."""
        async with self.meta.delete("/_control/faults") as answer:
            assert answer.status == 200
        graph = await self.stack.enter_async_context(Graph(load(ConversationsWorkerSettings)))
        self.fetching = replace(self.fetching, fetcher=replace(self.fetching.fetcher, graph=graph))

    async def calls(self, path: str = "") -> list[str]:
        """The paths of what Graph was asked for."""
        async with self.meta.get("/_control/calls", params={"path": path}) as answer:
            return [call["path"] for call in (await answer.json())["data"]]

    async def fetch(self) -> int:
        """Fetch what is due now, once each; how many were taken."""
        number = 0
        while taken := await self.fetching.take(self.fetching.most, Multiset[str]()):
            await asyncio.gather(*(self.fetching.attempt(each) for each in taken))
            number += len(taken)
        return number

    async def rows(self) -> list[asyncpg.Record]:
        return await self.pool.fetch(
            """
            SELECT media.*, media_objects.key, bytes, type FROM media LEFT JOIN media_objects USING (org_id, sha256)
            ORDER BY at, wamid
            """
        )

    async def row(self) -> asyncpg.Record:
        (row,) = await self.rows()
        return row

    async def content(self, row: asyncpg.Record) -> bytes:
        return b"".join([chunk async for chunk in self.files.read(row["key"], 0, row["bytes"])])

    def stored_files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


def event_of(value: Json, org_id: str = ORG) -> MessageReceived:
    """A message as the gateway makes it of a webhook's value."""
    item, contact = value["messages"][0], value["contacts"][0]
    return MessageReceived(
        id=fact_id(MessageReceived.type, item["id"], org_id),
        time=datetime.fromtimestamp(int(item["timestamp"]), UTC),
        org_id=org_id,
        waba_id=DEMO_WABA,
        phone_number_id=value["metadata"]["phone_number_id"],
        wamid=item["id"],
        contact=contact.get("wa_id", ANNA),
        user_id=contact.get("user_id"),
        group_id=item.get("group_id"),
        message_type=item["type"],
        value=value,
    )


def credential(keyring: Keyring, token: str, org_id: str = ORG, waba_id: str = DEMO_WABA) -> CredentialStored:
    sealed = asdict(keyring.seal(SecretStr(token), waba_id=waba_id, org_id=org_id))
    about = {"id": fact_id(CredentialStored.type, waba_id, org_id, sealed["nonce"]), "time": NOW}
    return CredentialStored.model_validate({**about, **sealed, "waba_id": waba_id, "org_id": org_id})


@dataclass
class Connected:
    """The accounts that are connected, as the topic of credentials has them."""

    keyring: Keyring
    held: dict[str, CredentialStored] = field(default_factory=dict[str, CredentialStored])

    def credential(self, waba_id: str) -> CredentialStored | None:
        return self.held.get(waba_id)

    def connect(self, token: str, org_id: str = ORG, waba_id: str = DEMO_WABA) -> CredentialStored:
        self.held[waba_id] = credential(self.keyring, token, org_id, waba_id)
        return self.held[waba_id]


@pytest.fixture
async def media_pool(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Pool]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with migrated_pool(load(ConversationsDatabaseSettings), "wabus_conversations") as opened:
        yield opened


@pytest.fixture
def without_pauses() -> Iterator[None]:
    """What Graph's client tries again it tries at once."""
    stamina.set_testing(True, attempts=100)
    yield
    stamina.set_testing(False)


@pytest.fixture
async def simulated(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> tuple[Client, Store]:
    """A simulated Meta, whose address is in the environment."""
    store = Store(new_world("1234567890", ["an-app-secret-for-tests"]))
    client = await serve(create_meta(store, delay_scale=0.01))
    monkeypatch.setenv("META_GRAPH_URL", str(client.make_url("")).rstrip("/"))
    return client, store


@pytest.fixture
async def media_world(
    environment: dict[str, str],
    media_pool: asyncpg.Pool,
    simulated: tuple[Client, Store],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[MediaWorld]:
    """Media of one organisation, which has the demo account connected; what is told needs a publisher."""
    client, store = simulated
    folder = tmp_path / "media"
    monkeypatch.setenv("MEDIA_STORE_URL", os.environ.get("MEDIA_STORE_URL", f"file:{folder}"))
    settings = load(ConversationsWorkerSettings)
    clock, decided, keyring = Clock(), asyncio.Event(), Keyring(settings)
    connected = Connected(keyring)
    connected.connect(next(iter(store.world.tokens)))
    files = MediaStore(settings.media_store_url)
    async with AsyncExitStack() as stack:
        graph = await stack.enter_async_context(Graph(settings))
        session = await stack.enter_async_context(download_session(settings.media_fetches))
        largest = settings.media_max_bytes
        fetcher = Fetcher(graph, settings.meta_graph_url, session, connected, keyring, files, largest)
        fetching = Fetching(media_pool, fetcher, settings.media_fetches, decided, clock.now)
        upkeep = Upkeep(media_pool, files, Publisher(settings, "/wabus/test"), decided, clock.now)
        yield MediaWorld(client, store, media_pool, files, folder, fetching, upkeep, connected, clock, stack)

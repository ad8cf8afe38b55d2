"""An API of conversations over rows that tests fold by themselves.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from wabus_conversations.app import create_app
from wabus_conversations.settings import ConversationsDatabaseSettings, ConversationsSettings
from wabus_events import Event
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import KafkaSettings, load

from support.thread_rows import fold_all
from support.threads import ORG, recent

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]

HOUR = 3600.0


@dataclass
class Inbox:
    """What is asked, and what is folded."""

    client: Client
    pool: asyncpg.Pool
    bearer: Bearer

    async def fold(self, *events: Event, org_id: str = ORG) -> None:
        await fold_all(self.pool, [[recent(event, org_id=org_id) for event in events]])

    async def ask(
        self,
        path: str,
        query: Mapping[str, str] = MappingProxyType({}),
        *,
        org_id: str = ORG,
        role: str = "agent",
        status: int = 200,
        method: str = "GET",
        **params: str,
    ) -> Any:
        """The body of an answer that has this status; `params` are more of the query."""
        headers = self.bearer(org_id, role)
        async with self.client.request(method, path, params={**query, **params}, headers=headers) as answer:
            body = await answer.json()
            assert answer.status == status, body
            return body

    async def conversations(self, **params: str) -> list[dict[str, Any]]:
        return (await self.ask("/conversations", params))["conversations"]

    async def only_conversation(self) -> str:
        (found,) = await self.conversations()
        return found["conversation_id"]

    async def messages(self, conversation_id: str | None = None, **params: str) -> list[dict[str, Any]]:
        found = conversation_id or await self.only_conversation()
        return (await self.ask(f"/conversations/{found}/messages", params))["messages"]


@pytest.fixture
async def conversation_tables(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Pool]:
    """The tables, empty."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with migrated_pool(load(ConversationsDatabaseSettings), "wabus_conversations") as opened:
        yield opened


@pytest.fixture
async def inbox(conversation_tables: asyncpg.Pool, topics: KafkaSettings, serve: Serve, bearer: Bearer) -> Inbox:
    """An API without a worker."""
    client = await serve(create_app(load(ConversationsSettings), "api"))
    return Inbox(client, conversation_tables, bearer)

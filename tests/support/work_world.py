"""An API of conversations with what folds `conversations.v1`, over messages that tests fold by themselves.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from conversations_world import Bearer, Client, Inbox, Serve
from wabus_conversations.app import create_app
from wabus_conversations.settings import ConversationsSettings
from wabus_conversations.worker.work import projector
from wabus_events import CONVERSATIONS, Event
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import KafkaSettings, load

pytest_plugins = ["conversations_world"]


async def fold_work(pool: asyncpg.Pool, *batches: Sequence[Event]) -> None:
    """Fold events of `conversations.v1` as the worker does, in their order."""
    apply = projector.declared(projector.NAME).folding()
    for batch in batches:
        records = [Recorded(event, CONVERSATIONS.name, 0, place, event.time) for place, event in enumerate(batch)]
        async with pool.acquire() as connection, connection.transaction():
            await (await apply(records))(connection)


@dataclass
class Desk:
    """An inbox in which people work."""

    inbox: Inbox
    bearer: Bearer
    conversation_id: str = ""

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        sub: str = "anna",
        role: str = "agent",
        status: int | None = 200,
        client: Client | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The body of an answer that has this status."""
        asked = {**self.bearer("shop", role, sub=sub), **(headers or {})}
        async with (client or self.inbox.client).request(method, path, json=body, headers=asked) as answer:
            found = await answer.json()
            assert status is None or answer.status == status, (answer.status, found)
            return found if status is not None else (answer.status, found)

    async def act(self, what: str, body: Mapping[str, Any] | None = None, **how: Any) -> Any:
        """What comes of doing something with the conversation."""
        found = self.conversation_id or await self.inbox.only_conversation()
        return await self.call("POST", f"/conversations/{found}/{what}", body or {}, **how)

    async def work(self) -> dict[str, Any]:
        found = self.conversation_id or await self.inbox.only_conversation()
        return (await self.inbox.ask(f"/conversations/{found}"))["work"]


@pytest.fixture
async def desk(inbox: Inbox, bearer: Bearer, topics: KafkaSettings, serve: Serve) -> AsyncIterator[Desk]:
    """With a worker that folds what people do."""
    ready = asyncio.Event()
    folding = asyncio.create_task(projector.run(load(ConversationsSettings), inbox.pool, ready.set))
    async with asyncio.timeout(60):
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([waiting, folding], return_when=asyncio.FIRST_COMPLETED)
    if folding.done():
        folding.result()
    yield Desk(inbox, bearer)
    folding.cancel()
    await asyncio.wait([folding])


@pytest.fixture
async def other_process(desk: Desk, serve: Serve) -> Client:
    """Another process of the same API."""
    return await serve(create_app(load(ConversationsSettings), "api"))

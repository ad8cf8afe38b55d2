"""A database with the tables of conversations, and folds into it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from wabus_conversations.settings import ConversationsDatabaseSettings
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import load


@pytest.fixture
async def pool(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Pool]:
    """The tables, empty."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with migrated_pool(load(ConversationsDatabaseSettings), "wabus_conversations") as opened:
        yield opened

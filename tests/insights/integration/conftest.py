"""A database with the tables of insights, and folds into it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from wabus_insights.settings import InsightsDatabaseSettings
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import load


@pytest.fixture
async def insights_tables(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Pool]:
    """The tables, empty."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with migrated_pool(load(InsightsDatabaseSettings), "wabus_insights") as opened:
        yield opened

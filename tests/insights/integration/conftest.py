"""A database with the tables of insights, and workers that look often for what is due."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from wabus_insights.settings import InsightsDatabaseSettings
from wabus_insights.worker.experiments import looking
from wabus_insights.worker.performance import asking
from wabus_insights.worker.planning import advising, counting, reading
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import load

LOOK_EVERY = 0.2  # seconds


@pytest.fixture
async def insights_tables(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Pool]:
    """The tables, empty."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with migrated_pool(load(InsightsDatabaseSettings), "wabus_insights") as opened:
        yield opened


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due within seconds is done at once: a test waits for it several times."""
    for worker in (advising, asking, counting, looking, reading):
        monkeypatch.setattr(worker, "LOOK_EVERY", LOOK_EVERY)

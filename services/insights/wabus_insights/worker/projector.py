"""Records become rows: what templates achieved, what messages cost, who is in which experiment."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
from wabus_events import ACCOUNTS, INSIGHTS, MESSAGES, PRICES, SENDS, TEMPLATES
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.recorded import Recorded, Write
from wabus_runtime.projection.replay_over import LastingTables
from wabus_runtime.settings import IdentitySettings

from wabus_insights.settings import InsightsFoldSettings
from wabus_insights.tables.erasing import erase
from wabus_insights.tables.planning.advice_days import count_anew
from wabus_insights.worker.costs.folding import Costs
from wabus_insights.worker.experiments.folding import ExperimentFolding
from wabus_insights.worker.performance import recounting
from wabus_insights.worker.performance.folding import Performance
from wabus_insights.worker.planning import folding as planning

NAME = "insights"
REBUILDING = "insights-rebuild"
"""The name under which the log is folded again, beside the workers."""
PACKAGE = "wabus_insights"
TOPICS = (SENDS, MESSAGES, TEMPLATES, ACCOUNTS, INSIGHTS, PRICES)
DIRECTORY_TIMEOUT = 60.0  # seconds for the accounts to be read at the start


async def run(settings: IdentitySettings, pool: asyncpg.Pool, directory: Directory, ready: Callable[[], None]) -> None:
    """Fold for ever."""
    await directory.whole(DIRECTORY_TIMEOUT)
    await project(settings, pool, declared(NAME, settings.identity_bytes, directory), ready)


def declared(name: str, key: bytes, directory: Directory) -> Projection:
    """The projection, over accounts that are known. `key` makes the names of people."""
    return Projection(name, TOPICS, lambda: _Folding(key, directory).apply, PACKAGE, erase=erase)


class _Folding:
    """Folds batches of one run."""

    def __init__(self, key: bytes, directory: Directory) -> None:
        self._performance = Performance(key, directory)
        self._costs = Costs(directory)
        self._experiments = ExperimentFolding(key, directory)

    async def apply(self, records: Sequence[Recorded]) -> Write:
        """What writes these records, in the transaction that moves the offsets."""

        performance = await self._performance.apply(records)

        async def write(connection: Connection) -> None:
            """Each subject has a module of its own here; they see one another's rows of the same batch."""
            await performance(connection)
            await self._costs.fold(connection, records)
            await planning.fold(connection, records)
            await self._experiments.fold(connection, records)

        return write


@asynccontextmanager
async def _folding_again(settings: InsightsFoldSettings, pool: asyncpg.Pool) -> AsyncGenerator[Projection]:
    directory = Directory(settings)
    following = asyncio.create_task(directory.run(lambda: None))
    try:
        await directory.whole(DIRECTORY_TIMEOUT)
        await recounting.begin(settings, pool, REBUILDING)
        yield declared(REBUILDING, settings.identity_bytes, directory)
    finally:
        following.cancel()
        await asyncio.wait([following])


TABLES = LastingTables(PACKAGE, InsightsFoldSettings, _folding_again, REBUILDING, NAME, count_anew)
"""`wabus rebuild insights`: the log is folded again over the rows that are there, beside the workers."""

"""Folds the log once more over rows that outlive it: for projections whose tables nothing could make anew.

Their folds give the same rows however often a record comes, and whoever folds it beside them. So the log is folded from
its beginning by the command itself, under a name of its own, while workers fold what is new: nothing is missing
meanwhile, and nobody waits. What is older than the log stays as it is; into empty tables comes all that the log has.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

import asyncpg

from wabus_runtime.kafka.end_offsets import end_positions
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import Offsets
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.rebuild import RebuildSettings, alone
from wabus_runtime.projection.replay import replay
from wabus_runtime.settings import load

SAY_EVERY = 2.0  # seconds

Say = Callable[[str], None]
"""Tells a person, in a line, what is being done."""


FoldSettings = TypeVar("FoldSettings", bound=RebuildSettings)


@dataclass(frozen=True, slots=True)
class LastingTables(Generic[FoldSettings]):
    """What a service says of a projection whose tables outlive the log; an entry point `wabus.projections`, too."""

    package: str
    """The package whose migrations make the tables."""
    settings: type[FoldSettings]
    """What folding takes."""
    folding: Callable[[FoldSettings, asyncpg.Pool], AbstractAsyncContextManager[Projection]]
    """Begins to fold into the tables, under another name than the workers do."""
    name: str
    """That name: by it is known how far a run has come that was stopped."""
    live: str
    """The name under which workers fold into them, who take in who was forgotten."""
    mend: Callable[[asyncpg.Pool], Awaitable[object]]
    """Called when the log is folded again: works out anew what is worked out from other rows."""
    to_the_end: bool = False
    """Whether that needs what the log has got meanwhile too: of a row that was missing, workers have not folded it."""


async def replay_over(tables: LastingTables[FoldSettings], say: Say, every: float = SAY_EVERY) -> None:
    """Fold all that the log has by now; cancelled at any moment it goes on from there the next time.

    Raises `RebuildFailed`, `KafkaUnavailable` and database errors.
    """
    settings = load(tables.settings)
    async with (
        migrated_pool(settings, tables.package) as pool,
        alone(pool, tables.name),
        tables.folding(settings, pool) as projection,
    ):
        target = await _ends(settings, projection)
        total = sum(target.values())
        say(f"folding {total:,} records over the rows that are there")
        clock = asyncio.get_running_loop().time
        said = clock()

        def progress(reached: Offsets) -> None:
            nonlocal said
            done = sum(min(reached.get(place, 0), end) for place, end in target.items())
            if done and clock() - said >= every:
                said = clock()
                say(f"folded {100 * done / total:.0f} %: {done:,} of {total:,} records")

        await replay(settings, pool, projection, target, progress)
        if tables.to_the_end:
            target = await _ends(settings, projection)
            await replay(settings, pool, projection, target, progress)
        say("working out anew what follows from other rows")
        await tables.mend(pool)
        await _forget_how_far(pool, tables.name)
        say("done: the rows are those of the log, and older ones are as they were")


async def _ends(settings: RebuildSettings, projection: Projection) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    for topic in projection.followed:
        found |= await end_positions(settings, topic)
    return found


async def discard(tables: LastingTables[FoldSettings]) -> None:
    """Forget how far a run has come that was stopped. Raises `RebuildFailed` where one is running."""
    async with migrated_pool(load(tables.settings), tables.package) as pool, alone(pool, tables.name):
        await _forget_how_far(pool, tables.name)


async def _forget_how_far(pool: asyncpg.Pool, name: str) -> None:
    await pool.execute("DELETE FROM projection_offsets WHERE projection = $1", name)

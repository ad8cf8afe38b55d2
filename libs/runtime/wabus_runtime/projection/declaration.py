"""What a service says of its projection: which topics, folded by what, into which tables.

Everything else follows from it: `project` keeps the tables in step with the log, and `wabus rebuild` makes them anew.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
from wabus_events import ERASURES, Topic

from wabus_runtime.postgres.database import Connection
from wabus_runtime.postgres.offsets import Offsets
from wabus_runtime.projection.compare import Table
from wabus_runtime.projection.erasing import Erase, erasing
from wabus_runtime.projection.recorded import Apply
from wabus_runtime.settings import IdentitySettings

MAX_BATCH = 2_000  # records in one transaction

REBUILD = "rebuild_"
"""What the names of the schemas begin with in which tables are made anew."""

IS_LIVE = f"current_schema() NOT LIKE '{REBUILD}%'"
"""SQL: whether a statement sees the live tables. Nobody is told of what happens in those that are made anew."""


async def nothing(_: object) -> None:
    """Does nothing."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A fold of topics into tables of one service.

    The same records must give the same rows, in whatever batches they come and however often; then tables that are made
    anew are those that are there. A service offers its projections to `wabus rebuild` as entry points
    `wabus.projections`, by the names that people call them.
    """

    name: str
    """Of its consumer group and of its offsets. It never changes: under another name everything is folded again."""
    topics: Sequence[Topic]
    """What it folds. One that forgets follows the lines of who was forgotten too, without naming their topic here."""
    folding: Callable[[], Apply]
    """Makes what applies the records of one run."""
    package: str
    """The package whose migrations make the tables."""
    tables: Sequence[Table] = ()
    """What a rebuild makes anew, compares and swaps, in the order in which the service's queries lock them.

    Tables that can't be made again from the log alone are not among them, and are left as they are.
    """
    erase: Erase | None = None
    """Removes from the tables what is of somebody who was forgotten; None where they hold nothing of anybody."""
    drops: bool = True
    """Whether what is older than a line is dropped before it is folded.

    Without, the fold does that by itself: one that has to know of what it keeps nothing reads `erasures` in the
    transaction in which it writes.
    """
    prepare: Callable[[asyncpg.Pool], Awaitable[object]] = nothing
    """Called with the tables of a rebuild before records are folded into them."""
    announce: Callable[[Connection], Awaitable[object]] = nothing
    """Called in the transaction in which tables made anew take the place of the others: tells those who follow rows."""
    handled: Callable[[asyncpg.Pool], Awaitable[Offsets]] | None = None
    """Up to where what follows from the rows is done for good, for a fold of what comes from now on.

    Kafka is told these offsets now and then: there the projection begins that has no rows, and without them at the end
    of the log. None for one that begins with the beginning of the log.
    """
    max_batch: int = MAX_BATCH
    """Records in one transaction."""

    @property
    def followed(self) -> tuple[Topic, ...]:
        """The topics that it reads."""
        return (*self.topics, ERASURES) if self.erase else tuple(self.topics)

    def applying(self, settings: IdentitySettings) -> Apply:
        """What applies the records of one run, and respects who was forgotten."""
        apply = self.folding()
        if self.erase is None:
            return apply
        return erasing(apply, self.erase, name=self.name, key=settings.identity_bytes, drops=self.drops)

    @property
    def rebuild_schema(self) -> str:
        """The schema in which its tables are made anew."""
        return REBUILD + self.name.replace("-", "_")

"""How a projection forgets: it keeps the lines that were drawn beside its rows, and folds nothing that is older.

A service says one thing of its own, what it holds of whom (`Erase`), and needs no more to forget. Whichever comes
first, an event or the line that it is older than, and in whichever process, the rows end up the same: the transaction
that takes in a line waits for those that fold, and each of those sees every line that was taken in before it.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime

import asyncpg
from wabus_events import Forgotten, Record, identity_of
from wabus_whatsapp.forgetting import Lines, respecting
from wabus_whatsapp.forgotten_records import record_respecting

from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Apply, Recorded, Write

Erase = Callable[[Connection, Lines], Awaitable[None]]
"""Removes from a projection's tables what is older than some lines; what is newer stays. It may be done again."""


def erasing(apply: Apply, erase: Erase, *, name: str, key: bytes, drops: bool = True) -> Apply:
    """What applies the records of a projection with this name, and respects who was forgotten.

    `key` is that of the identities, `IdentitySettings.identity_bytes`; what is folded is dropped by the lines unless
    it is the fold that `drops` nothing here.
    """
    known = KnownLines(key)

    async def applying(records: Sequence[Recorded]) -> Write:
        drawn = [record.event for record in records if isinstance(record.event, Forgotten)]
        others = [record for record in records if not isinstance(record.event, Forgotten)]
        revision = known.revision
        prepared = await apply(known.respected(others) if drops else others)

        async def write(connection: Connection) -> None:
            if drawn:
                await _wait_for_the_others(connection, name)
                lines = Lines(key)
                for event in drawn:
                    lines.learn(event)
                await draw(connection, lines.items())
                await erase(connection, lines)
            if not drops:
                await prepared(connection)
                return
            await known.look(connection)
            # Prepared while another process took in a line: what is older than that goes too.
            current = prepared if known.revision == revision else await apply(known.respected(others))
            await current(connection)

        return write

    return applying


async def lines_of(
    connection: asyncpg.Pool | Connection, key: bytes, kind: type[Forgotten], values: Sequence[str]
) -> dict[str, datetime]:
    """When these of a kind were forgotten, as far as the tables know; those who were not are left out."""
    by_identity = {identity_of(key, kind, value): value for value in values}
    rows = await connection.fetch("SELECT identity, at FROM erasures WHERE identity = ANY($1)", list(by_identity))
    return {by_identity[row["identity"]]: row["at"] for row in rows}


async def is_of_the_forgotten(
    connection: asyncpg.Pool | Connection, key: bytes, record: Record, logged_at: datetime
) -> bool:
    """Whether nothing is left of a record that can't be read, as far as the tables know."""
    rows = await connection.fetch("SELECT identity, at FROM erasures")
    return record_respecting(record, Lines(key, {row["identity"]: row["at"] for row in rows}), logged_at) is None


class KnownLines:
    """The lines in the tables, as of the last look."""

    def __init__(self, key: bytes) -> None:
        self._lines = Lines(key)
        self.revision = 0

    def respected(self, records: Sequence[Recorded]) -> Sequence[Recorded]:
        """The records with what is left of their events."""
        if not len(self._lines):
            return records
        left = ((record, respecting(record.event, self._lines)) for record in records)
        return [record._replace(event=event) for record, event in left if event is not None]

    def left_of(self, record: Record) -> Record | None:
        """What is left of a record; None if nothing is, and the same object where nothing has to go."""
        return record_respecting(record, self._lines) if len(self._lines) else record

    async def look(self, connection: asyncpg.Pool | Connection) -> None:
        """Take in the lines that are new since the last look."""
        rows = await connection.fetch(
            "SELECT identity, at, revision FROM erasures WHERE revision > $1 ORDER BY revision", self.revision
        )
        if rows:
            self._lines.learn_all((row["identity"], row["at"]) for row in rows)
            self.revision = rows[-1]["revision"]


async def _wait_for_the_others(connection: Connection, name: str) -> None:
    """Return when no other transaction of the projection is under way; none begins before this one ends.

    Each begins by writing its own rows of `projection_offsets`.
    """
    await connection.execute(
        "SELECT FROM projection_offsets WHERE projection = $1 ORDER BY topic, partition FOR UPDATE", name
    )


async def draw(connection: Connection, lines: Iterable[tuple[str, datetime]]) -> None:
    """Write lines down, each with whose it is; of two for the same one the later stands.

    The revision grows even where another projection has written the same: it may have committed after one that is
    greater, which is where those who fold here believe to be.
    """
    at = dict(lines)
    await connection.execute(
        """
        INSERT INTO erasures AS held (identity, at)
        SELECT identity, at FROM unnest($1::text[], $2::timestamptz[]) AS new(identity, at) ORDER BY identity
        ON CONFLICT (identity) DO UPDATE
            SET at = greatest(held.at, excluded.at), revision = nextval('erasures_revision_seq')
        """,
        list(at),
        list(at.values()),
    )

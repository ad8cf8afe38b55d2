"""Who may change whose identifiers are whose: many at once where nothing is linked anew, one alone where it is.

A lock is on a bucket of scopes: were it on a scope, a batch of many organisations would need more locks than PostgreSQL
has. All of a batch are taken at its beginning and in the same order, so nobody waits in a circle.
"""

from collections.abc import Iterable
from zlib import crc32

from wabus_runtime.postgres.database import Connection

BUCKETS = 64
_CLASS = 0x7761  # tells our advisory locks from others'


def bucket(scope: str) -> int:
    return crc32(scope.encode()) % BUCKETS


async def lock(connection: Connection, scopes: Iterable[str], alone: Iterable[str] = ()) -> None:
    """Lock scopes until the transaction, or the savepoint, is left; those of `alone` against everybody else."""
    exclusive = {bucket(scope) for scope in alone}
    shared = sorted({bucket(scope) for scope in scopes} - exclusive)
    if not exclusive:
        await connection.execute(
            "SELECT pg_advisory_xact_lock_shared($1, bucket) FROM unnest($2::int[]) AS wanted(bucket)", _CLASS, shared
        )
        return
    for each in sorted(exclusive.union(shared)):
        kind = "" if each in exclusive else "_shared"
        await connection.execute(f"SELECT pg_advisory_xact_lock{kind}($1, $2)", _CLASS, each)


async def lock_everything(connection: Connection) -> None:
    """Lock all scopes against everybody else."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock($1, bucket) FROM generate_series(0, $2) AS wanted(bucket)", _CLASS, BUCKETS - 1
    )


async def lock_everything_shared(connection: Connection) -> None:
    """Let nobody have a scope alone; whoever calls this has locked nothing yet."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock_shared($1, bucket) FROM generate_series(0, $2) AS wanted(bucket)",
        _CLASS,
        BUCKETS - 1,
    )

"""Who may count what costs beside whom. Whoever takes several of these takes them in this order."""

from collections.abc import Collection

from wabus_runtime.postgres.database import Connection

_LOCK = 0x636F7374  # "cost": the class of our advisory locks
_PRICES = 0
_RECOUNTING = 0x616E6577  # "anew": whoever holds it alone counts anew


async def is_alone(connection: Connection) -> bool:
    """Whether nobody else counts anew what has become known late, until the transaction ends."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1::int, 0)", _RECOUNTING))


async def lock_prices(connection: Connection, *, exclusive: bool) -> None:
    """Keep what is known of prices and of accounts as it is; `exclusive` to change it, while nobody counts."""
    shared = "" if exclusive else "_shared"
    await connection.execute(f"SELECT pg_advisory_xact_lock{shared}($1::int, $2::int)", _LOCK, _PRICES)


async def lock_scopes(connection: Connection, scopes: Collection[str]) -> None:
    """Keep others from counting for these: one after the other, in the same order everywhere."""
    await connection.execute(
        """
        SELECT pg_advisory_xact_lock($1::int, key) FROM (
            SELECT DISTINCT greatest(abs(hashtext(scope) / 2), 1) AS key FROM unnest($2::text[]) AS scope ORDER BY 1
        ) AS keys
        """,
        _LOCK,
        sorted(scopes),
    )

"""What was told of how accounts are charged, and since when."""

from collections.abc import Iterable

from wabus_runtime.postgres.database import Connection

from wabus_insights.costs.billing import Told


async def load(connection: Connection, waba_ids: Iterable[str] | None = None) -> dict[str, list[Told]]:
    """By account, what was told, in the order of time; of some accounts, or of all."""
    rows = await connection.fetch(
        """
        SELECT waba_id, told_at, portfolio_id, time_zone, currency FROM account_billings
        WHERE $1::text[] IS NULL OR waba_id = ANY($1) ORDER BY waba_id, told_at
        """,
        None if waba_ids is None else list(waba_ids),
    )
    found: dict[str, list[Told]] = {}
    for waba_id, *told in rows:
        found.setdefault(waba_id, []).append(Told(*told))
    return found


async def write(connection: Connection, waba_id: str, told: Told) -> None:
    """Write down what was told."""
    await connection.execute(
        """
        INSERT INTO account_billings (waba_id, told_at, portfolio_id, time_zone, currency) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (waba_id, told_at) DO UPDATE SET
            portfolio_id = coalesce(excluded.portfolio_id, account_billings.portfolio_id),
            time_zone = coalesce(excluded.time_zone, account_billings.time_zone),
            currency = coalesce(excluded.currency, account_billings.currency), version = DEFAULT
        """,
        waba_id,
        *told,
    )

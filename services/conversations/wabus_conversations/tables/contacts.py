"""Rows of what people want, how they are called in the address book, and how far a number's history has come."""

from collections.abc import Mapping
from datetime import datetime

from wabus_runtime.postgres.database import Connection

from wabus_conversations.threads.gathering import Batch


async def write(connection: Connection, batch: Batch) -> None:
    """Write what is newer than what is there."""
    if batch.books:
        await _write_books(connection, batch.books)
    if batch.contact_facts:
        await _write_facts(connection, batch)
    if batch.histories:
        await _write_histories(connection, batch)


async def _write_books(connection: Connection, books: Mapping[str, tuple[datetime, str, str]]) -> None:
    ordered = sorted(books.items())
    await connection.execute(
        """
        UPDATE identifiers SET book_name = new.name, book_at = new.at, book_waba_id = new.waba_id
        FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[]) AS new(id, at, name, waba_id)
        WHERE identifier_id = new.id
            AND (book_at IS NULL OR (new.at, new.name COLLATE "C", new.waba_id COLLATE "C")
                > (book_at, book_name COLLATE "C", coalesce(book_waba_id, '') COLLATE "C"))
        """,
        [identifier for identifier, _ in ordered],
        *([told[part] for _, told in ordered] for part in range(3)),
    )


async def _write_facts(connection: Connection, batch: Batch) -> None:
    ordered = sorted(batch.contact_facts.items())
    await connection.execute(
        """
        INSERT INTO contact_facts AS held (phone_number_id, identifier_id, fact, org_id, waba_id, value, at)
        SELECT phone_number_id, id, fact, org_id, waba_id, value::jsonb, at
        FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
            AS new(phone_number_id, id, fact, org_id, waba_id, value, at)
        ON CONFLICT (phone_number_id, identifier_id, fact)
            DO UPDATE SET value = excluded.value, at = excluded.at, waba_id = excluded.waba_id
            WHERE (excluded.at, excluded.value::text COLLATE "C") > (held.at, held.value::text COLLATE "C")
        """,
        [number for (number, _, _), _ in ordered],
        [identifier for (_, identifier, _), _ in ordered],
        [fact for (_, _, fact), _ in ordered],
        [account.org_id for _, (_, _, account) in ordered],
        [account.waba_id for _, (_, _, account) in ordered],
        [value.decode() for _, (_, value, _) in ordered],
        [at for _, (at, _, _) in ordered],
    )


async def _write_histories(connection: Connection, batch: Batch) -> None:
    ordered = sorted(batch.histories.items())
    await connection.execute(
        """
        INSERT INTO histories AS held (org_id, phone_number_id, phase, declined, at, progress, chunk_order, waba_id)
        SELECT org_id, phone_number_id, phase, phase < 0, at, nullif(progress, -1), nullif(chunk, -1), waba_id
        FROM unnest($1::text[], $2::text[], $3::int[], $4::timestamptz[], $5::int[], $6::int[], $7::text[])
            AS new(org_id, phone_number_id, phase, at, progress, chunk, waba_id)
        ON CONFLICT (org_id, phone_number_id, phase) DO UPDATE SET at = greatest(held.at, excluded.at),
            progress = greatest(held.progress, excluded.progress),
            chunk_order = greatest(held.chunk_order, excluded.chunk_order),
            waba_id = greatest(held.waba_id, excluded.waba_id)
        """,
        [org_id for (org_id, _, _), _ in ordered],
        [number for (_, number, _), _ in ordered],
        [phase for (_, _, phase), _ in ordered],
        *([values[place] for _, values in ordered] for place in range(4)),
    )

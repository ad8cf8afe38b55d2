"""Who wants no marketing of an organisation, as they have told it: kept for longer than the log has it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_events import OptedOut, fact_id
from wabus_runtime.postgres.database import Connection

from wabus_sender.sending.people.opting import DEFAULT, Words, choice_in, words_of


class Choice(NamedTuple):
    """What somebody wants, by one of their identifiers."""

    org_id: str
    value: str
    forgotten_as: str
    forgotten_everywhere_as: str
    opted_out: bool
    at: datetime
    by: str
    """`keyword` or `api`."""


class PossibleChoice(NamedTuple):
    """A short message of somebody, which may be a word by which they choose."""

    org_id: str
    waba_id: str
    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    values: Sequence[tuple[str, str, str]]
    """The identifiers of who has said it, each with the two names under which it is forgotten."""
    at: datetime
    wamid: str
    text: str


class Untold(NamedTuple):
    """A choice of which the log is to be told."""

    event_id: str
    org_id: str
    waba_id: str
    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    opted_out: bool
    at: datetime
    wamid: str


async def write(connection: Connection, choices: Iterable[Choice]) -> None:
    """Write down what people want; of two choices the later stands, and of two at once to have none."""
    await connection.executemany(
        """
        INSERT INTO opt_outs AS known (org_id, value, forgotten_as, forgotten_everywhere_as, opted_out, at, by)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (org_id, value) DO UPDATE SET opted_out = excluded.opted_out, at = excluded.at, by = excluded.by
        WHERE (excluded.at, excluded.opted_out) > (known.at, known.opted_out)
        """,
        sorted(choices),
    )


async def hear(connection: Connection, said: Sequence[PossibleChoice], *, tells: bool = True) -> None:
    """Write down the choices among some short messages, by the words that their organisations have.

    With `tells` the log is to be told of them.
    """
    if not said:
        return
    known = await _words(connection, sorted({each.org_id for each in said}))
    choices: list[Choice] = []
    untold: list[Untold] = []
    for each in said:
        opted_out = choice_in(each.text, known.get(each.org_id, DEFAULT))
        if opted_out is None:
            continue
        choices += [Choice(each.org_id, *value, opted_out, each.at, "keyword") for value in each.values]
        event_id = fact_id(OptedOut.type, each.org_id, each.phone_number_id, each.wamid)
        untold.append(
            Untold(
                event_id, each.org_id, each.waba_id, each.phone_number_id, each.wa_id, each.user_id, opted_out, each.at,
                each.wamid,
            )
        )  # fmt: skip
    if untold:
        await write(connection, choices)
    if untold and tells:
        await connection.executemany(
            """
            INSERT INTO opt_outs_untold
                (event_id, org_id, waba_id, phone_number_id, wa_id, user_id, opted_out, at, wamid)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
            """,
            [(UUID(each.event_id), *each[1:]) for each in untold],
        )


async def take_untold(connection: Connection, most: int) -> list[Untold]:
    """Take some of which the log is to be told; they are there again unless the transaction ends well."""
    rows = await connection.fetch(
        """
        DELETE FROM opt_outs_untold WHERE event_id IN (
            SELECT event_id FROM opt_outs_untold ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        RETURNING event_id::text, org_id, waba_id, phone_number_id, wa_id, user_id, opted_out, at, wamid
        """,
        most,
    )
    return [Untold(*row) for row in rows]


async def opted_out(connection: asyncpg.Pool | Connection, persons: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of some persons (organisation, identifier) who want no marketing of the organisation."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (asked.org_id, asked.value) asked.org_id, asked.value, opt_outs.opted_out
        FROM unnest($1::text[], $2::text[]) AS asked(org_id, value)
        LEFT JOIN known_together AS known ON known.org_id = asked.org_id AND known.value = asked.value
        JOIN opt_outs ON opt_outs.org_id = asked.org_id AND opt_outs.value IN (asked.value, known.other)
        ORDER BY asked.org_id, asked.value, opt_outs.at DESC, opt_outs.opted_out DESC
        """,
        *(list(column) for column in zip(*persons, strict=True)),
    )
    return {(row["org_id"], row["value"]) for row in rows if row["opted_out"]}


async def words(pool: asyncpg.Pool, org_id: str) -> tuple[list[str], list[str]] | None:
    """The words of an organisation as it has given them; None where it has given none."""
    row = await pool.fetchrow("SELECT stop, start FROM opt_words WHERE org_id = $1", org_id)
    return (row["stop"], row["start"]) if row else None


async def set_words(pool: asyncpg.Pool, org_id: str, stop: Sequence[str], start: Sequence[str], now: datetime) -> None:
    """Let these be the words of an organisation."""
    await pool.execute(
        """
        INSERT INTO opt_words (org_id, stop, start, changed_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (org_id) DO UPDATE SET stop = excluded.stop, start = excluded.start,
            changed_at = excluded.changed_at
        """,
        org_id,
        stop,
        start,
        now,
    )


async def _words(connection: Connection, org_ids: Sequence[str]) -> dict[str, Words]:
    rows = await connection.fetch("SELECT org_id, stop, start FROM opt_words WHERE org_id = ANY($1)", org_ids)
    return {row["org_id"]: words_of(row["stop"], row["start"]) for row in rows}

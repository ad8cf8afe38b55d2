"""Whose each number is, and the templates: what a send is checked against."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountDisconnected,
    CapabilityChanged,
    CheckedNumber,
    Event,
    PhoneNumber,
    TemplateChanged,
    TemplateRemoved,
)
from wabus_events.models.messaging_limit import people_a_day
from wabus_runtime.postgres.database import Connection


class Number(NamedTuple):
    """A business number."""

    waba_id: str
    org_id: str | None
    """Whose it is; None for nobody's."""


class Template(NamedTuple):
    """A template in one language."""

    template_id: str
    category: str
    status: str
    version: int | None
    template: dict[str, Any]


async def write(connection: Connection, events: Iterable[Event], *, over: bool = False) -> None:
    """Fold events of accounts and templates, in their order; `over` rows that may be newer only what is not older."""
    for event in events:
        match event:
            case AccountConnected():
                await _own(connection, event.waba_id, event.org_id, event.time, over=over)
                await _be_of(connection, event.waba_id, event.portfolio_id)
                await _write_numbers(connection, event.waba_id, event.phone_numbers, event.time)
            case CapabilityChanged(max_daily_conversations_per_business=int(most)):
                await connection.execute(
                    "UPDATE known_numbers SET people_a_day = $2, at = $3 WHERE waba_id = $1 AND at <= $3",
                    event.waba_id,
                    most,
                    event.time,
                )
            case AccountDisconnected():
                await _own(connection, event.waba_id, None, event.time, over=over)
            case AccountChecked():
                await _write_numbers(connection, event.waba_id, event.numbers or [], event.time)
            case TemplateChanged():
                await _write_template(connection, event, over=over)
            case TemplateRemoved():
                await connection.execute(
                    "DELETE FROM known_templates WHERE waba_id = $1 AND template_id = $2 AND (NOT $3 OR at <= $4)",
                    event.waba_id,
                    event.template_id,
                    over,
                    event.time,
                )
            case _:
                pass


async def number(pool: asyncpg.Pool, phone_number_id: str) -> Number | None:
    """Whose a number is; None where it was never connected."""
    row = await pool.fetchrow(
        "SELECT waba_id, org_id FROM known_numbers JOIN known_accounts USING (waba_id) WHERE phone_number_id = $1",
        phone_number_id,
    )
    return Number(*row) if row else None


async def levels(pool: asyncpg.Pool, phone_number_ids: Sequence[str]) -> dict[str, tuple[str | None, bool]]:
    """What Graph says of numbers' throughput, and whether the phone app uses them too."""
    rows = await pool.fetch(
        "SELECT phone_number_id, throughput, coexistence FROM known_numbers WHERE phone_number_id = ANY($1)",
        phone_number_ids,
    )
    return {row["phone_number_id"]: (row["throughput"], bool(row["coexistence"])) for row in rows}


async def template(pool: asyncpg.Pool, waba_id: str, name: str, language: str) -> Template | None:
    """A template; None where no such is known."""
    row = await pool.fetchrow(
        """
        SELECT template_id, category, status, version, template FROM known_templates
        WHERE waba_id = $1 AND name = $2 AND language = $3
        """,
        waba_id,
        name,
        language,
    )
    return Template(*row) if row else None


async def has_templates(pool: asyncpg.Pool, waba_id: str) -> bool:
    """Whether any template of the account is known."""
    return await pool.fetchval("SELECT EXISTS (SELECT FROM known_templates WHERE waba_id = $1)", waba_id)


async def _own(connection: Connection, waba_id: str, org_id: str | None, at: datetime, *, over: bool) -> None:
    await connection.execute(
        """
        INSERT INTO known_accounts AS known (waba_id, org_id, at) VALUES ($1, $2, $3)
        ON CONFLICT (waba_id) DO UPDATE SET org_id = excluded.org_id, at = excluded.at
        WHERE NOT $4 OR excluded.at >= known.at
        """,
        waba_id,
        org_id,
        at,
        over,
    )


async def _be_of(connection: Connection, waba_id: str, portfolio_id: str | None) -> None:
    if portfolio_id:
        await connection.execute(
            "UPDATE known_accounts SET portfolio_id = $2 WHERE waba_id = $1", waba_id, portfolio_id
        )


async def _write_numbers(
    connection: Connection, waba_id: str, numbers: Iterable[PhoneNumber | CheckedNumber], at: datetime
) -> None:
    for each in numbers:
        await connection.execute(
            """
            INSERT INTO known_numbers AS known (phone_number_id, waba_id, throughput, coexistence, people_a_day, at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (phone_number_id) DO UPDATE SET waba_id = excluded.waba_id,
                throughput = coalesce(excluded.throughput, known.throughput),
                coexistence = coalesce(excluded.coexistence, known.coexistence),
                people_a_day = coalesce(excluded.people_a_day, known.people_a_day), at = excluded.at
            WHERE excluded.at >= known.at
            """,
            each.phone_number_id,
            waba_id,
            each.throughput,
            each.coexistence,
            people_a_day(each.messaging_limit),
            at,
        )


async def _write_template(connection: Connection, event: TemplateChanged, *, over: bool) -> None:
    told = event.template
    await connection.execute(
        """
        DELETE FROM known_templates
        WHERE waba_id = $1 AND template_id = $2 AND (name, language) <> ($3, $4) AND (NOT $5 OR at <= $6)
        """,
        event.waba_id,
        told.template_id,
        told.name,
        told.language,
        over,
        event.time,
    )
    await connection.execute(
        """
        INSERT INTO known_templates AS known
            (waba_id, name, language, template_id, category, status, version, template, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (waba_id, name, language) DO UPDATE SET template_id = excluded.template_id,
            category = excluded.category, status = excluded.status, version = excluded.version,
            template = excluded.template, at = excluded.at
        WHERE NOT $10 OR excluded.at >= known.at
        """,
        event.waba_id,
        told.name,
        told.language,
        told.template_id,
        told.category,
        told.status,
        event.version_number,
        told.model_dump(mode="json"),
        event.time,
        over,
    )

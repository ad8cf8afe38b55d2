"""A row for each outgoing message, for some days: what is counted is worked out from it.

Others who need to know what became of a message read `send_facts`; nobody else writes it.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from wabus_runtime.postgres.database import Connection

from wabus_insights.performance.facts import Asked
from wabus_insights.performance.message import Acceptance, Message, Place, Pricing
from wabus_insights.tables.json_rows import as_json, json_rows

_ROW = """
    message_id::text, org_id, waba_id, phone_number_id, at, accepted_at, kind, template_id, version, name, language,
    category, experiment_id, arm, label, number_id::text, user_id::text, day, country, country_sure, bits, delivered_at,
    read_at, failed_code, pricing_at, billable, pricing_model, pricing_category, pricing_type, cost, cost_currency
"""
_LOCK = f"SELECT {_ROW} FROM send_facts WHERE message_id = ANY($1::uuid[]) ORDER BY message_id FOR UPDATE"  # noqa: S608
_TYPES = (
    "uuid", "text", "text", "text", "timestamptz", "timestamptz", "text", "text", "integer", "text", "text",
    "text", "text", "text", "text", "uuid", "uuid", "date", "text", "boolean", "smallint", "timestamptz",
    "timestamptz", "integer", "timestamptz", "boolean", "text", "text", "text", "numeric", "text",
)  # fmt: skip
_NAMES = [name.strip().removesuffix("::text") for name in _ROW.split(",")]
_COLUMNS = dict(zip(_NAMES, _TYPES, strict=True))
_INSERT = f"""
    INSERT INTO send_facts ({", ".join(_NAMES)})
    SELECT * FROM {json_rows(_COLUMNS)} ON CONFLICT (message_id) DO NOTHING RETURNING message_id::text
"""  # noqa: S608
_CAME = ("message_id", "bits", "delivered_at", "read_at", "failed_code")
"""What changes by all statuses but the first, which tells the rest."""
_TOLD = (*_CAME, "at", "country", "country_sure", "pricing_at", "billable", "pricing_model", "pricing_category",
         "pricing_type", "cost", "cost_currency")  # fmt: skip


class _Update:
    """Writes some columns of rows that are there, the first of which names the row."""

    def __init__(self, names: Sequence[str]) -> None:
        self._places = [_NAMES.index(name) for name in names]
        self._columns = {name: _COLUMNS[name] for name in names}
        self._statement = f"""
            UPDATE send_facts SET ({", ".join(names[1:])}) = ROW({", ".join(f"new.{name}" for name in names[1:])})
            FROM {json_rows(self._columns)} WHERE send_facts.message_id = new.message_id
        """  # noqa: S608

    async def run(self, connection: Connection, messages: Sequence[Message]) -> None:
        if messages:
            rows = map(itemgetter(*self._places), map(_cells, messages))
            await connection.execute(self._statement, as_json(self._columns, rows))


_UPDATES = tuple(map(_Update, (_CAME, _TOLD, _NAMES)))


_ASKED = {
    "send_id": "uuid", "org_id": "text", "waba_id": "text", "template_id": "text", "version": "integer",
    "name": "text", "language": "text", "category": "text", "experiment_id": "text", "arm": "text",
    "at": "timestamptz", "expires_at": "timestamptz",
}  # fmt: skip
_INSERT_ASKED = f"""
    INSERT INTO send_requests ({", ".join(_ASKED)}) SELECT * FROM {json_rows(_ASKED)} ON CONFLICT (send_id) DO NOTHING
"""  # noqa: S608


class Change(NamedTuple):
    """A message as it was, None where it was not there, and as it is."""

    before: Message | None
    after: Message


async def locked(connection: Connection, message_ids: Sequence[str]) -> dict[str, Message]:
    """The messages that are there, locked in one order for everybody."""
    return {message.message_id: message for message in map(_message, await connection.fetch(_LOCK, message_ids))}


async def insert(connection: Connection, messages: Sequence[Message]) -> set[str]:
    """Write messages that were not there; returns whose somebody else has not written meanwhile."""
    return {row[0] for row in await connection.fetch(_INSERT, as_json(_COLUMNS, map(_cells, messages)))}


async def update(connection: Connection, changes: Iterable[Change]) -> None:
    """Write what has changed of messages that are locked."""
    came: list[Message] = []
    told: list[Message] = []
    whole: list[Message] = []
    for before, after in changes:
        if before is None or before.acceptance != after.acceptance or before[1:4] != after[1:4]:
            whole.append(after)
        elif before.at != after.at or before.place != after.place or before.pricing != after.pricing:
            told.append(after)
        else:
            came.append(after)
    for update, messages in zip(_UPDATES, (came, told, whole), strict=True):
        await update.run(connection, messages)


async def templates_to(connection: Connection, identifiers: Sequence[str]) -> list[Message]:
    """The templates that were sent to people who are known by these."""
    rows = await connection.fetch(
        f"""
        SELECT {_ROW} FROM send_facts
        WHERE template_id <> '' AND accepted_at IS NOT NULL
            AND (number_id = ANY($1::uuid[]) OR user_id = ANY($1::uuid[]))
        """,  # noqa: S608
        identifiers,
    )
    return [_message(row) for row in rows]


async def accepted(connection: Connection, column: str, value: str, before: datetime) -> list[Message]:
    """The templates of an organisation, or of an account, that were accepted before a moment and are known still."""
    rows = await connection.fetch(
        f"SELECT {_ROW} FROM send_facts WHERE {column} = $1 AND template_id <> '' AND accepted_at < $2",  # noqa: S608
        value,
        before,
    )
    return [_message(row) for row in rows]


async def all_from(connection: Connection, at: datetime) -> AsyncGenerator[Message]:
    """All templates that were accepted from a moment on and are known still; in a transaction."""
    statement = f"SELECT {_ROW} FROM send_facts WHERE template_id <> '' AND accepted_at >= $1"  # noqa: S608
    async for row in connection.cursor(statement, at, prefetch=2_000):
        yield _message(row)


def rows_of_asked(asked: Sequence[Asked]) -> str | None:
    """Which templates were asked for as rows for `insert_asked`, None where none were; in one order for everybody."""
    rows = sorted({each.send_id: each for each in reversed(asked)}.values())
    return as_json(_ASKED, rows) if rows else None


async def insert_asked(connection: Connection, rows: str) -> None:
    """Keep which templates were asked for, until Meta has taken them."""
    await connection.execute(_INSERT_ASKED, rows)


async def asked_for(connection: Connection, send_ids: Sequence[str]) -> Mapping[str, Asked]:
    """What was asked for by these sends, as far as they asked for templates."""
    rows = await connection.fetch(
        """
        SELECT send_id::text, org_id, waba_id, template_id, version, name, language, category, experiment_id, arm, at,
            expires_at
        FROM send_requests WHERE send_id = ANY($1::uuid[])
        """,
        send_ids,
    )
    return {row[0]: Asked(*row) for row in rows}


_NOT_ACCEPTED: tuple[Any, ...] = (None, "", "", 0, "", "", "", "", "", "", None, None, None)
_NOT_PRICED: tuple[Any, ...] = (None, None, "", "", "", None, "")


def _cells(message: Message) -> tuple[Any, ...]:
    """The cells of a row in the order of `_ROW`."""
    return (
        *message[:5],
        *(message.acceptance or _NOT_ACCEPTED),
        message.place.country,
        message.place.sure,
        *message[7:11],
        *(message.pricing or _NOT_PRICED),
    )


def _message(row: Any) -> Message:
    message_id, org_id, waba_id, phone_number_id, at = row[:5]
    acceptance = Acceptance(*tuple(row[5:18])) if row[5] else None
    pricing = Pricing(*tuple(row[24:])) if row[24] else None
    bits, delivered_at, read_at, failed_code = row[20:24]
    return Message(
        message_id, org_id, waba_id, phone_number_id, at, acceptance, Place(row[19], row[18]), bits, delivered_at,
        read_at, failed_code, pricing,
    )  # fmt: skip

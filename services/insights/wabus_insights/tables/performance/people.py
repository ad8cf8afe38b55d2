"""Whom templates went to and who did something then, as HMACs, for as long as a reply may count."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from wabus_runtime.postgres.database import Connection

from wabus_insights.performance.attribution import Act
from wabus_insights.performance.facts import Acted
from wabus_insights.performance.message import Bit
from wabus_insights.tables.json_rows import as_json, json_rows


class Named(NamedTuple):
    """One identifier of a person."""

    person: str
    """An HMAC of it under the organisation."""
    org_id: str
    forgotten_as: str
    """The identity of a line that forgets them here."""
    forgotten_everywhere_as: str
    """The same of one that forgets them in every organisation."""


_COLUMNS = {
    "person": "uuid", "org_id": "text", "forgotten_as": "text", "forgotten_everywhere_as": "text",
    "seen_at": "timestamptz",
}  # fmt: skip
_HOLD = f"""
    INSERT INTO people AS known ({", ".join(_COLUMNS)}) SELECT * FROM {json_rows(_COLUMNS)}
    ON CONFLICT (person) DO UPDATE SET seen_at = greatest(known.seen_at, excluded.seen_at)
"""  # noqa: S608


def rows_of(people: Mapping[Named, datetime]) -> str | None:
    """Whom something is about as rows for `hold`, None for nobody; in one order for everybody."""
    return as_json(_COLUMNS, [(*named, at) for named, at in sorted(people.items())]) if people else None


async def hold(connection: Connection, rows: str) -> None:
    """Write whom something is about, and keep others from working out their replies until the transaction ends."""
    await connection.execute(_HOLD, rows)


async def insert_acts(connection: Connection, acts: Sequence[Acted]) -> None:
    """Write what people did; what is there already stays."""
    rows = sorted(
        {
            (
                act.org_id,
                act.waba_id,
                act.phone_number_id,
                act.who.number_id or act.who.user_id or "",
                act.who.number_id or "",
                act.who.user_id or "",
                int(act.bit),
                act.at,
            )
            for act in acts
        },
    )
    await connection.execute(
        """
        INSERT INTO acts (org_id, waba_id, phone_number_id, person, number_id, user_id, bit, at)
        SELECT org_id, waba_id, phone_number_id, person::uuid, nullif(number_id, '')::uuid, nullif(user_id, '')::uuid,
            bit, at
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[],
            $8::timestamptz[]) AS new(org_id, waba_id, phone_number_id, person, number_id, user_id, bit, at)
        ON CONFLICT (person, phone_number_id, bit, at) DO UPDATE SET user_id = excluded.user_id
        WHERE acts.user_id IS NULL AND excluded.user_id IS NOT NULL
        """,
        *zip(*rows, strict=True),
    )


async def acts_of(connection: Connection, identifiers: Sequence[str]) -> list[Act]:
    """What the people who are known by these did."""
    rows = await connection.fetch(
        """
        SELECT at, bit, phone_number_id, number_id::text, user_id::text FROM acts
        WHERE person = ANY($1::uuid[]) OR user_id = ANY($1::uuid[])
        """,
        identifiers,
    )
    return [Act(row[0], Bit(row[1]), *row[2:]) for row in rows]

"""What templates are called, for as long as there are counts of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from wabus_runtime.postgres.database import Connection


class Template(NamedTuple):
    """A template as it was told at a moment."""

    waba_id: str
    template_id: str
    name: str
    language: str
    category: str
    status: str
    quality: str | None
    at: datetime
    removed_at: datetime | None


async def write(connection: Connection, templates: Sequence[Template]) -> None:
    """Write what is not older than what is known."""
    newest: dict[tuple[str, str], Template] = {}
    for each in templates:
        known = newest.get((each.template_id, each.waba_id))
        if known is None or known.at <= each.at:
            newest[each.template_id, each.waba_id] = each
    await connection.executemany(
        """
        INSERT INTO templates AS known
            (waba_id, template_id, name, language, category, status, quality, at, removed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (template_id, waba_id) DO UPDATE SET name = excluded.name, language = excluded.language,
            category = CASE excluded.category WHEN '' THEN known.category ELSE excluded.category END,
            status = CASE excluded.status WHEN '' THEN known.status ELSE excluded.status END,
            quality = coalesce(excluded.quality, known.quality), at = excluded.at, removed_at = excluded.removed_at
        WHERE known.at <= excluded.at
        """,
        [newest[key] for key in sorted(newest)],
    )


async def write_names(connection: Connection, names: Iterable[Template]) -> None:
    """Write the names of templates of which nothing else is known."""
    rows = sorted({(each.template_id, each.waba_id, each.name, each.language, each.at) for each in names})
    if rows:
        await connection.execute(
            """
            INSERT INTO templates (template_id, waba_id, name, language, at)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
            ON CONFLICT (template_id, waba_id) DO NOTHING
            """,
            *zip(*rows, strict=True),
        )

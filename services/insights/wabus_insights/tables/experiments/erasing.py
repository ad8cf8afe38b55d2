"""What the tables of experiments hold of somebody, and how it goes when they are forgotten.

A contact's identifiers go, and what they did; that somebody of no name was counted in an arm stays.
"""

from wabus_events import AccountForgotten, OrganisationForgotten
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.forgetting import Lines


async def erase(connection: Connection, lines: Lines) -> None:
    """Remove what is older than some lines: of organisations, accounts and contacts."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT org_id, NULL AS waba_id FROM experiments UNION SELECT DISTINCT NULL, waba_id FROM experiments
        UNION SELECT org_id, NULL FROM holdouts
        UNION SELECT DISTINCT NULL, waba_id FROM experiment_templates
        UNION SELECT DISTINCT org_id, NULL FROM experiment_signs
        UNION SELECT DISTINCT org_id, NULL FROM experiment_links
        """
    )
    for org_id in {row["org_id"] for row in rows if row["org_id"]}:
        if at := lines.of(OrganisationForgotten, org_id):
            await _experiments(connection, "org_id", org_id, at)
            await connection.execute("DELETE FROM holdouts WHERE org_id = $1 AND at <= $2", org_id, at)
            await connection.execute("DELETE FROM experiment_signs WHERE org_id = $1 AND at <= $2", org_id, at)
            await connection.execute("DELETE FROM experiment_links WHERE org_id = $1 AND at <= $2", org_id, at)
    for waba_id in {row["waba_id"] for row in rows if row["waba_id"]}:
        if at := lines.of(AccountForgotten, waba_id):
            await _experiments(connection, "waba_id", waba_id, at)
            await connection.execute("DELETE FROM experiment_templates WHERE waba_id = $1 AND at <= $2", waba_id, at)
    until = dict(lines.items())
    names, moments = list(until), list(until.values())
    await connection.execute(
        """
        DELETE FROM experiment_signs AS held USING unnest($1::text[], $2::timestamptz[]) AS line(name, at)
        WHERE line.name IN (held.forgotten_as, held.forgotten_everywhere_as) AND held.at <= line.at
        """,
        names, moments,
    )  # fmt: skip
    await connection.execute(
        """
        DELETE FROM experiment_links AS held USING unnest($1::text[], $2::timestamptz[]) AS line(name, at)
        WHERE line.name IN (held.forgotten_as, held.forgotten_everywhere_as, held.other_forgotten_as,
            held.other_forgotten_everywhere_as) AND held.at <= line.at
        """,
        names, moments,
    )  # fmt: skip
    gone = await connection.fetch(
        """
        DELETE FROM experiment_keys AS held USING unnest($1::text[], $2::timestamptz[]) AS line(name, at)
        WHERE line.name IN (held.forgotten_as, held.forgotten_everywhere_as) AND held.at <= line.at
        RETURNING held.experiment_id, held.person
        """,
        names, moments,
    )  # fmt: skip
    for experiment_id, person in {(row["experiment_id"], row["person"]) for row in gone}:
        # What else leads to the person goes too: whoever comes by it is somebody new.
        await connection.execute(
            "DELETE FROM experiment_keys WHERE experiment_id = $1 AND person = $2", experiment_id, person
        )
        await connection.execute(
            "UPDATE experiment_people SET person = gen_random_uuid() WHERE experiment_id = $1 AND person = $2",
            experiment_id, person,
        )  # fmt: skip


async def _experiments(connection: Connection, of: str, whose: str, at: object) -> None:
    rows = await connection.fetch(
        """
        DELETE FROM experiments
        WHERE defined_at <= $3 AND $2 = CASE $1::text WHEN 'org_id' THEN org_id ELSE waba_id END
        RETURNING experiment_id
        """,
        of, whose, at,
    )  # fmt: skip
    ids = [row["experiment_id"] for row in rows]
    for statement in (
        "DELETE FROM experiment_people WHERE experiment_id = ANY($1)",
        "DELETE FROM experiment_keys WHERE experiment_id = ANY($1)",
        "DELETE FROM experiment_days WHERE experiment_id = ANY($1)",
        "DELETE FROM experiment_looks WHERE experiment_id = ANY($1)",
    ):
        await connection.execute(statement, ids)

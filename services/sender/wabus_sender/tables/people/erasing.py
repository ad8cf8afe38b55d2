"""What these tables hold of somebody, and how it goes when they are forgotten."""

from collections.abc import Mapping
from datetime import datetime

from wabus_events import AccountForgotten, OrganisationForgotten
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.erasing import draw
from wabus_whatsapp.forgetting import Lines

_BY_ORGANISATION = (
    "DELETE FROM sends WHERE org_id = $1 AND requested_at <= $2",
    "DELETE FROM send_keys WHERE org_id = $1 AND created_at <= $2",
    "DELETE FROM labels WHERE org_id = $1 AND at <= $2",
    "DELETE FROM read_marks WHERE org_id = $1 AND next_at <= $2",
    "DELETE FROM uploads WHERE org_id = $1 AND created_at <= $2",
    """
    DELETE FROM windows USING contacts
    WHERE contacts.org_id = $1 AND seen_at <= $2 AND (windows.org_id, windows.value) = (contacts.org_id, contacts.value)
    """,
    """
    DELETE FROM preferences USING contacts WHERE contacts.org_id = $1 AND seen_at <= $2
        AND (preferences.org_id, preferences.value) = (contacts.org_id, contacts.value)
    """,
    """
    DELETE FROM thread_owners USING contacts WHERE contacts.org_id = $1 AND seen_at <= $2
        AND (thread_owners.org_id, thread_owners.value) = (contacts.org_id, contacts.value)
    """,
    """
    DELETE FROM free_entries USING contacts WHERE contacts.org_id = $1 AND seen_at <= $2
        AND (free_entries.org_id, free_entries.value) = (contacts.org_id, contacts.value)
    """,
    """
    DELETE FROM conversation_ids USING contacts WHERE contacts.org_id = $1 AND seen_at <= $2
        AND (conversation_ids.org_id, conversation_ids.value) = (contacts.org_id, contacts.value)
    """,
    "DELETE FROM contacts WHERE org_id = $1 AND seen_at <= $2",
    "DELETE FROM successors WHERE org_id = $1 AND at <= $2",
    "DELETE FROM holders WHERE org_id = $1 AND first_at <= $2",
    "DELETE FROM known_accounts WHERE org_id = $1 AND at <= $2",
    "DELETE FROM blocks WHERE org_id = $1 AND changed_at <= $2",
    "DELETE FROM opt_outs WHERE org_id = $1 AND at <= $2",
    "DELETE FROM opt_outs_untold WHERE org_id = $1 AND at <= $2",
    "DELETE FROM policies WHERE org_id = $1 AND changed_at <= $2",
    "DELETE FROM opt_words WHERE org_id = $1 AND changed_at <= $2",
    "DELETE FROM agents_see WHERE org_id = $1 AND at <= $2",
    "DELETE FROM known_experiments WHERE org_id = $1 AND at <= $2",
    "DELETE FROM experiment_arms WHERE org_id = $1 AND at <= $2",
    "DELETE FROM known_holdouts WHERE org_id = $1 AND at <= $2",
)
_BY_ACCOUNT = (
    "DELETE FROM sends WHERE waba_id = $1 AND requested_at <= $2",
    "DELETE FROM read_marks WHERE waba_id = $1 AND next_at <= $2",
    "DELETE FROM uploads WHERE waba_id = $1 AND created_at <= $2",
    "DELETE FROM blocks WHERE waba_id = $1 AND changed_at <= $2",
    "DELETE FROM opt_outs_untold WHERE waba_id = $1 AND at <= $2",
    """
    DELETE FROM windows WHERE phone_number_id IN (SELECT phone_number_id FROM known_numbers WHERE waba_id = $1)
        AND greatest(user_last_at, maybe_at, refused_at) <= $2
    """,
    """
    DELETE FROM preferences WHERE phone_number_id IN (SELECT phone_number_id FROM known_numbers WHERE waba_id = $1)
        AND at <= $2
    """,
    """
    DELETE FROM thread_owners WHERE phone_number_id IN (SELECT phone_number_id FROM known_numbers WHERE waba_id = $1)
        AND greatest(at, copied_at) <= $2
    """,
    """
    DELETE FROM free_entries WHERE phone_number_id IN (SELECT phone_number_id FROM known_numbers WHERE waba_id = $1)
        AND at <= $2
    """,
    """
    DELETE FROM labels WHERE phone_number_id IN (SELECT phone_number_id FROM known_numbers WHERE waba_id = $1)
        AND at <= $2
    """,
    """
    DELETE FROM queues USING known_numbers
    WHERE queues.phone_number_id = known_numbers.phone_number_id AND waba_id = $1 AND at <= $2
        AND NOT EXISTS (SELECT FROM sends WHERE sends.phone_number_id = queues.phone_number_id)
    """,
    """
    DELETE FROM arrivals USING known_numbers
    WHERE arrivals.phone_number_id = known_numbers.phone_number_id AND waba_id = $1
        AND second <= extract(epoch FROM $2::timestamptz)
    """,
    """
    DELETE FROM number_pauses USING known_numbers
    WHERE number_pauses.phone_number_id = known_numbers.phone_number_id AND waba_id = $1 AND at <= $2 AND until <= $2
    """,
    """
    DELETE FROM experiment_arms USING known_experiments AS known
    WHERE experiment_arms.experiment_id = known.experiment_id AND waba_id = $1 AND known.at <= $2
    """,
    "DELETE FROM known_experiments WHERE waba_id = $1 AND at <= $2",
    "DELETE FROM known_numbers WHERE waba_id = $1 AND at <= $2",
    "DELETE FROM known_templates WHERE waba_id = $1 AND at <= $2",
    "DELETE FROM known_accounts WHERE waba_id = $1 AND at <= $2",
)
_BY_CONTACT = (
    "DELETE FROM sends WHERE org_id = $1 AND (wa_id = $2 OR user_id = $2) AND requested_at <= $3",
    "DELETE FROM windows WHERE org_id = $1 AND value = $2 AND greatest(user_last_at, maybe_at, refused_at) <= $3",
    "DELETE FROM preferences WHERE org_id = $1 AND value = $2 AND at <= $3",
    "DELETE FROM thread_owners WHERE org_id = $1 AND value = $2 AND greatest(at, copied_at) <= $3",
    "DELETE FROM free_entries WHERE org_id = $1 AND value = $2 AND at <= $3",
    "DELETE FROM blocks WHERE org_id = $1 AND value = $2 AND changed_at <= $3",
    "DELETE FROM opt_outs WHERE org_id = $1 AND value = $2 AND at <= $3",
    "DELETE FROM opt_outs_untold WHERE org_id = $1 AND $2 IN (wa_id, user_id) AND at <= $3",
    "DELETE FROM conversation_ids WHERE org_id = $1 AND value = $2 AND $3::timestamptz IS NOT NULL",
    "DELETE FROM successors WHERE org_id = $1 AND $2 IN (value, successor) AND at <= $3",
    "DELETE FROM holders WHERE org_id = $1 AND $2 IN (value, holder) AND first_at <= $3",
    "UPDATE contacts SET other = NULL, other_at = NULL WHERE org_id = $1 AND other = $2 AND other_at <= $3",
    "UPDATE contacts SET other = NULL, other_at = NULL WHERE org_id = $1 AND value = $2 AND other_at <= $3",
    "DELETE FROM contacts WHERE org_id = $1 AND value = $2 AND seen_at <= $3",
    "DELETE FROM experiment_arms WHERE org_id = $1 AND value = $2 AND at <= $3",
)


async def erase(connection: Connection, lines: Lines) -> None:
    """Remove what is older than some lines: of organisations, accounts and contacts."""
    organisations = await connection.fetch(
        """
        SELECT org_id FROM sends UNION SELECT org_id FROM contacts
        UNION SELECT org_id FROM known_accounts WHERE org_id IS NOT NULL UNION SELECT org_id FROM send_keys
        UNION SELECT org_id FROM uploads UNION SELECT org_id FROM opt_outs
        UNION SELECT org_id FROM known_experiments UNION SELECT org_id FROM known_holdouts
        UNION SELECT org_id FROM experiment_arms
        UNION SELECT org_id FROM blocks UNION SELECT org_id FROM opt_words UNION SELECT org_id FROM policies
        UNION SELECT org_id FROM agents_see
        """
    )
    for row in organisations:
        if at := lines.of(OrganisationForgotten, row["org_id"]):
            await _all(connection, _BY_ORGANISATION, row["org_id"], at)
    accounts = await connection.fetch(
        """
        SELECT waba_id FROM known_accounts UNION SELECT waba_id FROM known_numbers
        UNION SELECT waba_id FROM known_templates
        UNION SELECT waba_id FROM known_experiments
        UNION SELECT waba_id FROM sends UNION SELECT waba_id FROM uploads UNION SELECT waba_id FROM blocks
        """
    )
    for row in accounts:
        if at := lines.of(AccountForgotten, row["waba_id"]):
            await _all(connection, _BY_ACCOUNT, row["waba_id"], at)
    until = dict(lines.items())
    contacts = await connection.fetch(
        """
        SELECT org_id, value, forgotten_as, forgotten_everywhere_as FROM contacts
        WHERE forgotten_as = ANY($1) OR forgotten_everywhere_as = ANY($1)
        UNION SELECT org_id, value, forgotten_as, forgotten_everywhere_as FROM opt_outs
        WHERE forgotten_as = ANY($1) OR forgotten_everywhere_as = ANY($1)
        UNION SELECT org_id, value, forgotten_as, forgotten_everywhere_as FROM experiment_arms
        WHERE forgotten_as = ANY($1) OR forgotten_everywhere_as = ANY($1)
        UNION SELECT org_id, value, forgotten_as, forgotten_everywhere_as FROM blocks
        WHERE forgotten_as = ANY($1) OR forgotten_everywhere_as = ANY($1)
        """,
        list(until),
    )
    gone: dict[tuple[str, str], datetime] = {}
    for row in contacts:
        at = max(until[name] for name in (row["forgotten_as"], row["forgotten_everywhere_as"]) if name in until)
        gone[row["org_id"], row["value"]] = at
    gone |= await _known_as_well(connection, gone)
    for (org_id, value), at in gone.items():
        await _all(connection, _BY_CONTACT, org_id, value, at)
    await connection.execute("DELETE FROM heard WHERE NOT EXISTS (SELECT FROM sends WHERE send_id = heard.send_id)")


async def _known_as_well(
    connection: Connection, gone: Mapping[tuple[str, str], datetime]
) -> dict[tuple[str, str], datetime]:
    """The other numbers and user ids of people who are forgotten by some, each with a line of its own from now on.

    Who had a number before or after them is meant too, as far as wabus takes them for one: see `wabus forget`.
    """
    found: dict[tuple[str, str], datetime] = {}
    look = dict(gone)
    while look:
        rows = await connection.fetch(
            """
            SELECT c.org_id, c.value, c.forgotten_as, max(gone.at) AS at
            FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS gone(org_id, value, at)
            JOIN (
                SELECT org_id, value, other, other_at FROM contacts
                UNION ALL SELECT org_id, value, successor, at FROM successors
            ) AS own ON own.org_id = gone.org_id
                AND (own.value = gone.value OR own.other = gone.value) AND own.other_at <= gone.at
            JOIN contacts AS c ON c.org_id = own.org_id AND c.value IN (own.value, own.other)
            GROUP BY c.org_id, c.value, c.forgotten_as
            """,
            [org_id for org_id, _ in look],
            [value for _, value in look],
            list(look.values()),
        )
        new = {(row["org_id"], row["value"]): row for row in rows}
        new = {who: row for who, row in new.items() if who not in gone and who not in found}
        # What is told of these alone, and was before, is dropped from now on too.
        await draw(connection, [(row["forgotten_as"], row["at"]) for row in new.values()])
        look = {who: row["at"] for who, row in new.items()}
        found |= look
    return found


async def _all(connection: Connection, statements: tuple[str, ...], *arguments: str | datetime) -> None:
    for statement in statements:
        await connection.execute(statement, *arguments)

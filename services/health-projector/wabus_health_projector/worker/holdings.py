"""What the tables of health hold of organisations and accounts. Nothing in them is about a contact.

An account that had another organisation before has rows of both: each is told only its own.
"""

from typing import Any

from wabus_runtime.identity.holdings import Holdings, Row, Table

from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.tables.erasing import OF_ORGANISATIONS

_ACCOUNT = "waba_id = $1"
_OF_THE_OWNER = """
    EXISTS (
        SELECT FROM waba_health AS owned WHERE owned.waba_id = {table}.waba_id AND owned.org_id = $1
            AND (owned.moved_at IS NULL OR {table}.{moment} >= owned.moved_at)
    )
"""


def own_state(row: Row) -> Row:
    """What the owner may know of an account's state."""
    held: dict[str, Any] = {**row["state"], "waba_id": row["waba_id"], "templates": row["templates"]}
    known = WabaHealth.model_validate(held).of_owner
    return {"waba_id": row["waba_id"], "state": known.model_dump(mode="json", exclude_defaults=True)}


HOLDINGS = Holdings(
    (
        Table("webhook_health", "org_id = $1", _ACCOUNT),
        Table("waba_health", "org_id = $1", _ACCOUNT, own=own_state),
        *(Table(name, "org_id = $1", _ACCOUNT) for name in OF_ORGANISATIONS),
        *(
            Table(name, _OF_THE_OWNER.format(table=name, moment="hour"), _ACCOUNT)
            for name in ("message_counts", "message_errors", "message_failures", "messaging_errors")
        ),
        Table("webhook_arrivals", _OF_THE_OWNER.format(table="webhook_arrivals", moment="last_at"), _ACCOUNT),
        Table("account_checks", account=_ACCOUNT),
        Table(
            "health_history",
            "org_id = $1",
            "EXISTS (SELECT FROM jsonb_array_elements(reasons) AS reason WHERE reason->>'waba_id' = $1)",
        ),
        # Hashes of what Meta calls a message, and a day.
        Table("counted_messages"),
        Table("counted_events"),
        # Of our own app at Meta.
        Table("app_subscription"),
    )
)

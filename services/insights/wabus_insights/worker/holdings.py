"""What the tables of insights hold of organisations, accounts and contacts.

Of contacts they hold HMACs under the deployment's key and nothing that they could be asked for by, and those for some
days: who is forgotten is found by the name of the line (`tables.erasing`).
"""

from wabus_runtime.identity.holdings import Holdings, Table

from wabus_insights.tables.planning import erasing as planning

_ORGANISATION, _ACCOUNT = "org_id = $1", "waba_id = $1"
_OF_CELLS = "cell_id IN (SELECT cell_id FROM cost_days WHERE {})"
_SCOPE = "scope = $1"
"""Of an account whose portfolio is not known; a portfolio's own counts name nobody's messages."""


def _of(condition: str) -> str:
    return f"experiment_id IN (SELECT experiment_id FROM experiments WHERE {condition})"  # noqa: S608


HOLDINGS = Holdings(
    (
        Table("send_requests", _ORGANISATION, _ACCOUNT),
        Table("send_facts", _ORGANISATION, _ACCOUNT),
        Table("acts", _ORGANISATION, _ACCOUNT),
        Table("people", _ORGANISATION),
        Table("template_hours", _ORGANISATION, _ACCOUNT),
        Table("template_days", _ORGANISATION, _ACCOUNT),
        Table("template_months", _ORGANISATION, _ACCOUNT),
        Table("failure_hours", _ORGANISATION, _ACCOUNT),
        Table("read_times", _ORGANISATION, _ACCOUNT),
        Table("templates", account=_ACCOUNT),
        Table("meta_template_days", _ORGANISATION, _ACCOUNT),
        Table("template_insights", _ORGANISATION, _ACCOUNT),
        Table("charges", _ORGANISATION, _ACCOUNT),
        Table("charge_sends", _ORGANISATION, _ACCOUNT),
        Table("cost_days", _ORGANISATION, _ACCOUNT),
        Table("cost_day_sums", _ORGANISATION, _ACCOUNT),
        Table("cost_template_sums", _ORGANISATION, _ACCOUNT),
        Table("cost_changes", _ORGANISATION),
        Table("cost_sums_due", _ORGANISATION),
        Table("tier_seconds", _OF_CELLS.format(_ORGANISATION), _OF_CELLS.format(_ACCOUNT)),
        Table("tier_months", account=_SCOPE),
        Table("tier_floors", account=_SCOPE),
        Table("account_billings", account=_ACCOUNT),
        Table("account_recounts", account=_ACCOUNT),
        Table("price_recounts", account=_ACCOUNT),
        Table("meta_averages", account=_ACCOUNT),
        Table("meta_readings", account=_ACCOUNT),
        # What Meta charges everybody.
        Table("rate_cards"),
        Table("price_rules"),
        # From when on messages are counted.
        Table("counted_since"),
        *planning.TABLES,
        Table("experiments", _ORGANISATION, _ACCOUNT),
        Table("experiment_people", _of(_ORGANISATION), _of(_ACCOUNT)),
        Table("experiment_keys", _of(_ORGANISATION), _of(_ACCOUNT)),
        Table("experiment_days", _of(_ORGANISATION), _of(_ACCOUNT)),
        Table("experiment_looks", _of(_ORGANISATION), _of(_ACCOUNT)),
        Table("experiment_signs", _ORGANISATION),
        Table("experiment_links", _ORGANISATION),
        Table("experiment_templates", account=_ACCOUNT),
        Table("holdouts", _ORGANISATION),
    )
)

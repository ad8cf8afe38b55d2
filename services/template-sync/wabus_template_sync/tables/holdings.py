"""What the tables of template-sync hold of organisations and accounts. Nothing in them is about a contact."""

from wabus_runtime.identity.holdings import Holdings, Table

_ORGANISATION, _ACCOUNT = "org_id = $1", "waba_id = $1"

HOLDINGS = Holdings(
    (
        *(
            Table(name, _ORGANISATION, _ACCOUNT)
            for name in ("template_accounts", "template_syncs", "templates", "template_versions")
        ),
        Table(
            "template_sync_requests",
            "sync_id IN (SELECT sync_id FROM template_syncs WHERE org_id = $1)",
            _ACCOUNT,
        ),
        Table("template_schedules", account=_ACCOUNT),
        Table("template_staged", "event->>'org_id' = $1", "event->>'waba_id' = $1"),
    )
)

"""Records become rows: accounts, templates with their versions, syncs and when each account is due."""

from wabus_events import ACCOUNTS, TEMPLATES
from wabus_runtime.projection.compare import Table
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.recorded import unprepared

from wabus_template_sync.tables.erasing import erase
from wabus_template_sync.tables.store import PACKAGE, apply

NAME = "template-sync-projection"

PROJECTION = Projection(
    NAME,
    (ACCOUNTS, TEMPLATES),
    lambda: unprepared(apply),
    PACKAGE,
    (
        Table("template_accounts", "waba_id"),
        Table("templates", "waba_id, template_id"),
        Table("template_versions", "waba_id, template_id, number"),
        Table("template_staged", "sync_id, position"),
        Table("template_syncs", "sync_id"),
        Table("template_sync_requests", "request_id"),
        Table("template_schedules", "waba_id"),
    ),
    erase=erase,
)
"""`wabus rebuild templates`: everything that template-sync keeps follows from the log, which is kept for ever."""

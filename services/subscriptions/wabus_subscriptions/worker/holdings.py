"""What the tables of subscriptions hold of organisations, accounts and contacts.

Of a contact nothing but what waits to be told, which is the outbox's: what is kept of a delivery names nobody.
"""

from wabus_runtime.identity.holdings import Holdings, Table

from wabus_subscriptions.tables.subscriptions import NAME

HOLDINGS = Holdings(
    (
        Table("subscriptions", "org_id = $1"),
        Table("deliveries", "org_id = $1"),
        # Up to which line in time it is respected.
        Table("cleared"),
    ),
    projections=(NAME,),
)

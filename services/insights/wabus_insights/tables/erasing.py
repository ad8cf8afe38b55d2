"""What these tables hold of somebody, and how it goes when they are forgotten."""

from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.forgetting import Lines

from wabus_insights.tables.costs import erasing as costs
from wabus_insights.tables.experiments import erasing as experiments
from wabus_insights.tables.performance import erasing as performance
from wabus_insights.tables.planning import erasing as planning


async def erase(connection: Connection, lines: Lines) -> None:
    """Remove what is older than some lines: of organisations, accounts and contacts."""
    await performance.erase(connection, lines)
    await costs.erase(connection, lines)
    await planning.erase(connection, lines)
    await experiments.erase(connection, lines)

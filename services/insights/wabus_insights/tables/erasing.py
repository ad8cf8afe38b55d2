"""What these tables hold of somebody, and how it goes when they are forgotten."""

from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.erasing import draw
from wabus_whatsapp.forgetting import Lines

from wabus_insights.tables.costs import erasing as costs
from wabus_insights.tables.experiments import erasing as experiments
from wabus_insights.tables.performance import erasing as performance
from wabus_insights.tables.planning import erasing as planning


async def erase(connection: Connection, lines: Lines) -> None:
    """Remove what is older than some lines: of organisations, accounts and contacts, by all that these are known by."""
    if more := await performance.known_as_well(connection, lines):
        # What is told of these alone, and was before, is dropped from now on too.
        await draw(connection, more.items())
        lines.learn_all(more.items())
    await performance.erase(connection, lines)
    await costs.erase(connection, lines)
    await planning.erase(connection, lines)
    await experiments.erase(connection, lines)

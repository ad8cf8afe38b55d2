"""What is known of an experiment at a moment, out of the rows of its people."""

from datetime import datetime

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.experiments.decision import Standing
from wabus_insights.experiments.merging import strata_of
from wabus_insights.tables.experiments import counting
from wabus_insights.tables.experiments.definitions import Experiment


async def standing(connection: asyncpg.Pool | Connection, experiment: Experiment, now: datetime) -> Standing:
    """What is known of an experiment now. One that has not begun has nobody."""
    found = experiment.experiment_id
    weights = {int(epoch): each for epoch, each in experiment.weights.items()}
    return Standing(
        started_at=experiment.started_at or now,
        ends_at=min(filter(None, (experiment.ends_at, experiment.stopped_at)), default=now),
        drawn=strata_of(weights, await counting.drawn(connection, found)),
        counted=strata_of(weights, await counting.counted(connection, found)),
        harmed={
            "failed": strata_of(weights, await counting.counted_for_harm(connection, found)),
            "stopped": strata_of(weights, await counting.counted_for_stops(connection, found)),
        },
        stopped=experiment.stops,
        waiting=await counting.waiting(connection, found),
        stop_reason=experiment.stop_reason if experiment.stopped_at else None,
    )

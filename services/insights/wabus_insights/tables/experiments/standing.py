"""What is known of an experiment at a moment, out of the rows of its people."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.experiments.decision import Standing
from wabus_insights.experiments.evidence import Stratum
from wabus_insights.experiments.merging import Counted, odds_of, strata_of
from wabus_insights.experiments.spending import Spent, SpentStratum
from wabus_insights.tables.experiments import counting
from wabus_insights.tables.experiments.counting import Tally
from wabus_insights.tables.experiments.definitions import Experiment


async def standing(connection: asyncpg.Pool | Connection, experiment: Experiment, now: datetime) -> Standing:
    """What is known of an experiment now. One that has not begun has nobody."""
    return standing_of(experiment, await counting.tallies(connection, experiment.experiment_id), now)


def standing_of(experiment: Experiment, tallies: Sequence[Tally], now: datetime) -> Standing:
    """The same of people who were added up already."""
    weights = {int(epoch): each for epoch, each in experiment.weights.items()}
    of_one_arm = [each for each in tallies if not each.excluded]

    def strata(people: Callable[[Tally], int], successes: Callable[[Tally], int]) -> list[Stratum]:
        return strata_of(
            weights,
            [Counted(each.arm, each.draws, people(each), successes(each)) for each in of_one_arm if people(each)],
        )

    return Standing(
        started_at=experiment.started_at or now,
        ends_at=min(filter(None, (experiment.ends_at, experiment.stopped_at)), default=now),
        drawn=strata(lambda each: each.drawn, lambda each: 0),
        counted=strata(lambda each: each.counted, lambda each: each.successes),
        harmed={
            "failed": strata(lambda each: each.harm_counted, lambda each: each.failed_at_once),
            "stopped": strata(lambda each: each.counted, lambda each: each.stopped),
        },
        spent=_spent(weights, of_one_arm),
        stopped=experiment.stops,
        waiting=sum(each.drawn - each.counted for each in of_one_arm),
        stop_reason=experiment.stop_reason if experiment.stopped_at else None,
    )


def _spent(weights: Mapping[int, Mapping[str, int]], tallies: Sequence[Tally]) -> list[SpentStratum]:
    """What was spent on those who are counted, by the coin that has drawn them; nothing where currencies differ."""
    currencies = {each.currency for each in tallies if each.priced}
    if len(currencies) > 1 or None in currencies:
        return []
    found: dict[tuple[int, ...], dict[str, Spent]] = {}
    for each in tallies:
        spent = Spent(
            each.counted, each.priced, float(each.cost), each.priced_squared, each.cost_squared, each.cost_by_priced
        )
        of_draws = found.setdefault(tuple(sorted(each.draws)), {})
        of_draws[each.arm] = of_draws.get(each.arm, Spent()).plus(spent)
    return [SpentStratum(odds_of([weights.get(draw, {}) for draw in draws]), spent) for draws, spent in found.items()]

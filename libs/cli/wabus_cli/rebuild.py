"""`wabus rebuild`: make the tables of a projection anew from the log while everything runs."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from importlib.metadata import entry_points
from typing import Any

import asyncpg
import click
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.observe.telemetry import configure_logs
from wabus_runtime.projection import rebuild as rebuilding
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.replay_over import LastingTables, replay_over
from wabus_runtime.projection.replay_over import discard as discard_run
from wabus_runtime.settings import LogSettings, load

PROJECTIONS = {entry.name: entry for entry in entry_points(group="wabus.projections")}
"""Of the services installed here, by the names that people call them."""


@click.command()
@click.argument("what", type=click.Choice(sorted(PROJECTIONS)))
@click.option(
    "--accept-differences",
    is_flag=True,
    help="Swap although the new rows differ, as they do when the code that folds has changed.",
)
@click.option("--discard", is_flag=True, help="Throw away what a rebuild that was stopped has built, and do no more.")
def rebuild(what: str, accept_differences: bool, discard: bool) -> None:
    """Build WHAT anew from the log: replay beside the live tables, verify, swap in one transaction.

    Everything goes on meanwhile. Ctrl+C stops it; the same command goes on from there.

    \b
    wabus rebuild health                            swaps if the new rows are the live ones
    wabus rebuild templates --accept-differences    swaps in any case: what folds them has changed
    wabus rebuild history --discard                 gives up a rebuild that was stopped

    Tables that outlive the log are not made anew: the log is folded once more, over the rows that are there, or into
    empty tables. Nothing is compared or swapped, and workers go on with what is new.

    \b
    wabus rebuild conversations                     works too where no worker runs
    wabus rebuild sender                            what comes back is sent only if it never was
    wabus rebuild insights                          counts what the log still has; what is older stays
    """
    configure_logs(load(LogSettings).model_copy(update={"log_level": "WARNING", "log_format": "console"}), "wabus")
    projection: Projection | LastingTables[Any] = PROJECTIONS[what].load()
    if isinstance(projection, LastingTables):
        if accept_differences:
            raise click.UsageError(f"{what} is folded over the rows that are there: nothing is compared or swapped")
        lasting: LastingTables[Any] = projection
        _run(lambda: discard_run(lasting) if discard else replay_over(lasting, click.echo))
        return
    made = projection
    settings = load(rebuilding.RebuildSettings)
    if discard:
        _run(lambda: rebuilding.discard(settings, made))
    else:
        _run(lambda: rebuilding.rebuild(settings, made, click.echo, accept_differences=accept_differences))


def _run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Do it until it is done or somebody stops it, and say what went wrong."""

    async def run() -> None:
        task = asyncio.current_task()
        if task:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await work()

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        raise click.ClickException("stopped; the same command goes on from here, --discard gives it up") from None
    except rebuilding.RebuildFailed as failed:
        raise click.ClickException(str(failed)) from None
    except KafkaUnavailable as error:
        raise click.ClickException(str(error)) from None
    except asyncpg.PostgresError as error:
        raise click.ClickException(f"PostgreSQL refused: {error}") from None

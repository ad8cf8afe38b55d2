"""`wabus rebuild`: build a read model anew from the log while everything runs."""

import asyncio
import signal

import asyncpg
import click
from wabus_runtime.observe.telemetry import configure_logs
from wabus_runtime.settings import LogSettings, load

from wabus_health_projector.worker import rebuild as rebuilding


@click.command()
@click.argument("what", type=click.Choice(sorted(rebuilding.MODELS)))
@click.option(
    "--accept-differences", is_flag=True, help="Swap although the new rows differ: the code that folds is another."
)
@click.option("--discard", is_flag=True, help="Throw away what a rebuild that was stopped has built, and do no more.")
def rebuild(what: str, accept_differences: bool, discard: bool) -> None:
    """Build WHAT anew from the log: replay beside the live tables, verify, swap in one transaction.

    Everything goes on meanwhile. Ctrl+C stops it; the same command goes on from there.

    \b
    wabus rebuild health                         swaps if the new rows are the live ones
    wabus rebuild health --accept-differences    swaps in any case: what folds them has changed
    wabus rebuild history --discard              gives up a rebuild that was stopped
    """
    settings = load(rebuilding.RebuildSettings)
    configure_logs(load(LogSettings).model_copy(update={"log_level": "WARNING", "log_format": "console"}), "wabus")
    model = rebuilding.MODELS[what]

    async def run() -> None:
        task = asyncio.current_task()
        if task:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        if discard:
            await rebuilding.discard(settings, model)
        else:
            await rebuilding.rebuild(settings, model, click.echo, accept_differences=accept_differences)

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        raise click.ClickException("stopped; the same command goes on from here, --discard gives it up") from None
    except rebuilding.RebuildFailed as failed:
        raise click.ClickException(str(failed)) from None
    except asyncpg.PostgresError as error:
        raise click.ClickException(f"PostgreSQL refused: {error}") from None

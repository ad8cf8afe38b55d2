"""`wabus serve`: the services themselves, in one process."""

import gc
from collections.abc import Collection, Sequence
from importlib.metadata import entry_points

import click
from wabus_runtime.service.process import ROLES, Role, run


@click.command()
@click.option("--role", type=click.Choice(ROLES), default="all", show_default=True, help="API, worker, or both.")
@click.option("--without", multiple=True, metavar="SERVICE", help="All but this one; may be given several times.")
@click.argument("services", nargs=-1)
def serve(role: Role, without: tuple[str, ...], services: tuple[str, ...]) -> None:
    """Run SERVICES (all of them unless named) in one process, with the same code as each alone.

    \b
    wabus serve                                  everything
    wabus serve gateway                          one service
    wabus serve template-sync --role api         one service's HTTP side
    wabus serve --role worker --without gateway  the work of all others
    """
    found = {entry.name: entry for entry in entry_points(group="wabus.services")}
    try:
        names = chosen(sorted(found), services, without)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    # What is imported now stays; to look through it again and again for garbage takes a third of the start. The process
    # collects again once it serves.
    gc.disable()
    run([found[name].load() for name in names], role)


def chosen(installed: Sequence[str], services: Sequence[str], without: Collection[str]) -> list[str]:
    """The services to run, of those installed. Raises ValueError saying what can't be meant. Pure."""
    for name in (*services, *without):
        if name not in installed:
            raise ValueError(f"no service is called {name!r}; there are: {', '.join(installed)}")
    if services and without:
        raise ValueError("name the services, or those to leave out, not both")
    names = [name for name in services or installed if name not in without]
    if not names:
        raise ValueError("no service is left to run")
    return names

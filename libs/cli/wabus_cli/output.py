"""Where commands write: files that only their owner may read, and a standard output that others may stop reading."""

import asyncio
import os
import select
import sys
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

CLOSED_EVERY = 0.5  # seconds between looks whether somebody still reads what we print


@contextmanager
def new_file(file: Path) -> Generator[BinaryIO]:
    """A new file that only its owner may read, removed if what is to be in it fails; standard output for `-`."""
    if is_dash(file):
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{file} exists") from None
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def is_dash(file: Path) -> bool:
    return str(file) == "-"


async def while_read(printing: Coroutine[Any, Any, None]) -> None:
    """Print until done, or until nobody reads it any more: `| head` ends at once, not at the next event."""
    tasks = {asyncio.create_task(printing), asyncio.create_task(_stdout_closed())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


async def _stdout_closed() -> None:
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # it is no file, as in tests
        await asyncio.Event().wait()
    while not poll.poll(0):  # noqa: ASYNC110
        await asyncio.sleep(CLOSED_EVERY)  # a closed pipe tells a selector nothing

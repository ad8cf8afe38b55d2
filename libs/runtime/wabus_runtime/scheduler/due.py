"""Does what is due for ever: takes rows as there is room for them, and does them beside each other.

The rows are a service's own table, with when each is due, how often it was tried and, in between, until when somebody
has it: `FOR UPDATE SKIP LOCKED` lets any number of processes take from it, and a process that dies keeps nothing, for a
row is due again when its lease is over. PostgreSQL documentation, "SELECT", The Locking Clause.
"""

import asyncio
import random
from collections import Counter as Multiset
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from wabus_runtime.observe.liveness import watched

LOOK_EVERY = 0.5  # seconds between two looks for what is due
ENDED_WITHIN = 1.0  # seconds, once it is cancelled

Item = TypeVar("Item")
Of = TypeVar("Of", bound=Hashable)


@dataclass(frozen=True, slots=True)
class DueWork(Generic[Item, Of]):
    """What is done with rows that are due."""

    name: str
    take: Callable[[int, Multiset[Of]], Awaitable[Sequence[Item]]]
    """Takes at most so many; it is told how many of whom are under way here, so that nobody has all the room."""
    whose: Callable[[Item], Of]
    """Whom one keeps from nobody else: an organisation, an endpoint."""
    do: Callable[[Item], Awaitable[None]]
    """Does it and writes down what came of it. What this raises ends `run_due`; the row is due again by its lease."""
    most: int
    """Under way at once in one process."""
    look_every: float = LOOK_EVERY


async def run_due(work: DueWork[Item, Of], ready: Callable[[], None]) -> None:
    """Do so for ever, as one of any number of processes; returns only by an exception or cancellation.

    What is under way then is cancelled, and due again when its lease is over.
    """
    running: dict[asyncio.Task[None], Of] = {}
    with watched(work.name) as beat:
        ready()
        try:
            while True:
                beat()
                if room := work.most - len(running):
                    for item in await work.take(room, Multiset(running.values())):
                        task = asyncio.create_task(_do(work, item), name=work.name)
                        running[task] = work.whose(item)
                await _wait(running, work.look_every * random.uniform(0.8, 1))  # noqa: S311
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running, timeout=ENDED_WITHIN)


async def _do(work: DueWork[Item, Of], item: Item) -> None:
    await work.do(item)


async def _wait(running: dict[asyncio.Task[None], Of], seconds: float) -> None:
    """Return after so many seconds, or once something is done. Raises what could not be dealt with."""
    if not running:
        await asyncio.sleep(seconds)
        return
    ended, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        del running[task]
    for task in ended:
        task.result()

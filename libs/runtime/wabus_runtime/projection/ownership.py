"""Which partitions a projection's process owns: for whoever acts on rows as the only one who does.

The id is the one that stands beside the partition's offset (`claims`): a statement that names it in its condition does
nothing any more once somebody else has taken the partition over.
"""

import asyncio
from collections.abc import Iterable
from uuid import UUID

from wabus_runtime.projection.claims import Place


class Ownership:
    """What this process owns now. Nothing until it has been assigned something, and between two assignments."""

    def __init__(self) -> None:
        self.owner: UUID | None = None
        self.places: frozenset[Place] = frozenset()
        self.generation = 0
        """One more with each change."""
        self._changed = asyncio.Event()

    def take(self, owner: UUID, places: Iterable[Place]) -> None:
        """These are ours, under this id."""
        self._become(owner, frozenset(places))

    def lose(self) -> None:
        """Nothing is ours any more."""
        self._become(None, frozenset())

    async def change(self, generation: int) -> None:
        """Return once it is another one than this."""
        while self.generation == generation:
            await self._changed.wait()

    def _become(self, owner: UUID | None, places: frozenset[Place]) -> None:
        self.owner, self.places = owner, places
        self.generation += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

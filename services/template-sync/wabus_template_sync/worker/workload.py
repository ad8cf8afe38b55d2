"""What a worker has taken on: how much of each partition is done, and what it has to do."""

from dataclasses import dataclass, field


@dataclass
class Workload:
    """What this process has to do: its partitions, and how many syncs are open. Outlives a run of the worker."""

    partitions: set[int] = field(default_factory=set[int])
    syncs: int = 0


class Progress:
    """Which offset of a partition may be committed: the one after the last before which everything is done.

    >>> progress = Progress(); progress.take(4); progress.take(5); progress.done(5); progress.committable
    4
    """

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._next: int | None = None

    @property
    def committable(self) -> int | None:
        return min(self._open) if self._open else self._next

    def take(self, offset: int) -> None:
        self._open.add(offset)
        self._next = offset + 1

    def done(self, offset: int) -> None:
        self._open.discard(offset)

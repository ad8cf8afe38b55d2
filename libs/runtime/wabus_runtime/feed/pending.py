"""What somebody has still to be told, by what it is about: however often that has changed, it is told once. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping

PARTS_MOST = 20  # parts of one thing, such as messages of a conversation, that are told one by one
SUBJECTS_MOST = 5_000  # things that somebody can have still to be told of: about a megabyte of names

Parts = frozenset[str] | None
"""Which parts of something have changed; None where they are more than can be told: it has to be read anew."""

NO_PARTS: frozenset[str] = frozenset()


def joined(one: Parts, other: Parts) -> Parts:
    """Both changes as one."""
    if one is None or other is None:
        return None
    return few(one | other)


def few(parts: Collection[str] | None) -> Parts:
    """Parts that have changed, or None where they are too many."""
    return None if parts is None or len(parts) > PARTS_MOST else frozenset(parts)


class Pending:
    """By subject, in the order in which each was named first since it was told last."""

    def __init__(self) -> None:
        self._parts: dict[str, Parts] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    @property
    def is_too_much(self) -> bool:
        """Whether somebody who is so far behind had better begin anew."""
        return len(self._parts) > SUBJECTS_MOST

    def add(self, subject: str, parts: Parts) -> None:
        """Something has changed."""
        self._parts[subject] = joined(self._parts.get(subject, NO_PARTS), parts)

    def add_all(self, changed: Iterable[tuple[str, Parts]]) -> None:
        """Several have."""
        for subject, parts in changed:
            self.add(subject, parts)

    def put_back(self, taken: Mapping[str, Parts]) -> None:
        """These could not be told: they come before what has changed since."""
        first = {subject: joined(self._parts.pop(subject, NO_PARTS), parts) for subject, parts in taken.items()}
        self._parts = {**first, **self._parts}

    def take(self, subject: str) -> Parts:
        """What has changed of it, which is told now. Raises KeyError where nothing has."""
        return self._parts.pop(subject)

    def clear(self) -> None:
        """Nothing has to be told any more."""
        self._parts.clear()

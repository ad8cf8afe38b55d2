"""Where in the log a receiver is that is not told at once: how far each partition was told. Pure."""

from collections.abc import Mapping, Sequence

Place = tuple[str, int]
Positions = Mapping[Place, int]
Stored = Sequence[tuple[str, int, int]]
"""As JSON has it: topic, partition, offset."""


def stored(positions: Positions) -> list[list[str | int]]:
    return [[topic, partition, offset] for (topic, partition), offset in sorted(positions.items())]


def read(rows: Stored) -> dict[Place, int]:
    return {(topic, partition): offset for topic, partition, offset in rows}


def lowest(one: Positions, other: Positions) -> dict[Place, int]:
    """The lower one of each place that either has."""
    return {place: min(offset, one.get(place, offset)) for place, offset in {**one, **other}.items()}


def behind(position: Positions, until: Positions) -> dict[Place, int]:
    """From where to read what is before `until` and was not told; a place that is not known from its beginning."""
    return {place: position.get(place, 0) for place, end in until.items() if position.get(place, 0) < end}

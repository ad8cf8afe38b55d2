"""Which arm of an experiment a person is in, and who is held out: a hash of the person, and nothing else. Pure.

An arm owns slices of `SLOTS` slots; a hash of the experiment's salt and of the person falls into one of them. When
weights change, an arm that shrinks gives up what it has too much, and an arm that grows takes that: nobody who is new
goes from one arm to another whose weight has not changed. Who was assigned once keeps the arm whatever the weights
become, for whoever assigns writes it down.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

SLOTS = 10_000
"""Weights and shares are hundredths of a percent, so that the coin that draws an arm is known exactly."""

EXEMPT_LANES = frozenset(("authentication", "utility", "service"))
"""What is sent to people who are held out, too: what they need, and answers to them."""


class Slice(NamedTuple):
    """The slots from `begin` up to, and without, `end` are an arm's."""

    begin: int
    end: int
    arm: str


def slices_of(weights: Mapping[str, int]) -> tuple[Slice, ...]:
    """The slices of a first draw. Raises `ValueError` unless the weights are 0 or more and add up to `SLOTS`."""
    check_weights(weights)
    return _joined(_laid_out([(0, SLOTS)], weights))


def reweighted(slices: Iterable[Slice], weights: Mapping[str, int]) -> tuple[Slice, ...]:
    """The slices after a change of weights that moves as few slots as there can be.

    An arm that shrinks keeps the slots that it has from its first one on; those that it loses go to arms that grow.
    Raises `ValueError` as `slices_of` does.
    """
    check_weights(weights)
    kept: list[Slice] = []
    free: list[tuple[int, int]] = []
    missing = dict(weights)
    for begin, end, arm in sorted(slices):
        keeps = min(end - begin, missing.get(arm, 0))
        if keeps:
            kept.append(Slice(begin, begin + keeps, arm))
            missing[arm] -= keeps
        if begin + keeps < end:
            free.append((begin + keeps, end))
    return _joined([*kept, *_laid_out(free, missing)])


def weights_of(slices: Iterable[Slice]) -> dict[str, int]:
    """How many slots each arm has: its probability, times `SLOTS`."""
    weights: dict[str, int] = {}
    for begin, end, arm in slices:
        weights[arm] = weights.get(arm, 0) + end - begin
    return weights


def check_weights(weights: Mapping[str, int]) -> None:
    """Raises `ValueError` unless the weights are 0 or more and add up to `SLOTS`."""
    if min(weights.values(), default=-1) < 0 or sum(weights.values()) != SLOTS:
        raise ValueError(f"weights add up to {SLOTS}, and none is negative")


def slot_of(salt: str, person: str) -> int:
    """Where a person falls, from 0 up to `SLOTS`: by SHA-256 of the salt and of what the person is known by.

    >>> slot_of("salt", "16505551234") == slot_of("salt", "16505551234")
    True
    """
    digest = hashlib.sha256(f"{salt}\x1f{person}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8]) * SLOTS >> 64


def arm_of(slices: Iterable[Slice], salt: str, person: str) -> str:
    """The arm that a person is drawn into who has none yet."""
    slot = slot_of(salt, person)
    return next(each.arm for each in slices if each.begin <= slot < each.end)


def is_held_out(share: int, salt: str, person: str, lane: str) -> bool:
    """Whether an organisation sends this person nothing of this kind, so that it sees what its messages achieve.

    `share` is of `SLOTS`. Whoever is held out stays so when the share grows.
    """
    return lane not in EXEMPT_LANES and slot_of(salt, person) < share


def _laid_out(free: Iterable[tuple[int, int]], weights: Mapping[str, int]) -> list[Slice]:
    """Fill free slots with arms in the order of their names."""
    found: list[Slice] = []
    gaps = iter(free)
    begin, end = next(gaps, (0, 0))
    for arm in sorted(weights):
        missing = weights[arm]
        while missing:
            if begin == end:
                begin, end = next(gaps)
            takes = min(missing, end - begin)
            found.append(Slice(begin, begin + takes, arm))
            begin, missing = begin + takes, missing - takes
    return found


def _joined(slices: Iterable[Slice]) -> tuple[Slice, ...]:
    """In their order, and neighbours of one arm as one."""
    joined: list[Slice] = []
    for each in sorted(slices):
        if joined and joined[-1].arm == each.arm and joined[-1].end == each.begin:
            joined[-1] = joined[-1]._replace(end=each.end)
        else:
            joined.append(each)
    return tuple(joined)

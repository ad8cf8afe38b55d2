"""People who turn out to be one. Pure.

Whoever was taken for two was drawn twice. Only if both draws fell on one arm is the person in an arm, and by that coin:
its odds are the products of the odds of the draws, for a nine-to-one coin falls twice on the rarer side in one of 82
cases in which it falls alike, not in one of ten. Whoever was counted before stays counted as they were: each draw was a
throw of its own, so that nothing is wrong with that, but what was seen at a look is not to change afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from wabus_insights.experiments.evidence import Count, Stratum


class Person(NamedTuple):
    """Somebody in an experiment."""

    arm: str
    draws: tuple[int, ...]
    """The epoch of each draw."""
    excluded: bool = False
    counted: bool = False


class Counted(NamedTuple):
    """How many people were drawn alike."""

    arm: str
    draws: tuple[int, ...]
    people: int
    successes: int


def merged(first: Person, others: Sequence[Person]) -> tuple[Person, list[Person | None]]:
    """Who is left of the one who was drawn first, and of each of the others; None for who is part of the first now."""
    people = [first, *others]
    if any(person.counted for person in people):
        left = [person if person.counted else person._replace(excluded=True) for person in people]
        return left[0], list(left[1:])
    draws = tuple(sorted(draw for person in people for draw in person.draws))
    differ = len({person.arm for person in people}) > 1 or any(person.excluded for person in people)
    return Person(first.arm, draws, excluded=differ), [None] * len(others)


def strata_of(weights: Mapping[int, Mapping[str, int]], counted: Iterable[Counted]) -> list[Stratum]:
    """People by the coin that has drawn them. `weights` are those of each epoch."""
    found: dict[tuple[int, ...], Stratum] = {}
    for each in counted:
        draws = tuple(sorted(each.draws))
        if draws not in found:
            found[draws] = Stratum(odds_of([weights.get(draw, {}) for draw in draws]), {})
        counts = cast(dict[str, Count], found[draws].counts)
        before = counts.get(each.arm, Count())
        counts[each.arm] = Count(before.people + each.people, before.successes + each.successes)
    return [replace(found[draws]) for draws in sorted(found)]


def odds_of(weights: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The odds of the arms, of people for whom all these draws fell on one of them."""
    odds: dict[str, int] = dict(weights[0]) if weights else {}
    for each in weights[1:]:
        odds = {arm: odd * each.get(arm, 0) for arm, odd in odds.items()}
    return {arm: odd for arm, odd in odds.items() if odd}

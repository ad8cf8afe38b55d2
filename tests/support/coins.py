"""The evidence of an experiment in exact arithmetic, and streams of people whose rates drift."""

from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from random import Random

from wabus_insights.experiments.evidence import WAGERS, Count, Pair, Wager


def won(wager: Wager, pairs: Sequence[Pair]) -> Fraction:
    """What a wager makes of one unit, exactly: of each person, P(arm | what was done) / P(arm)."""
    made = Fraction(1)
    for pair in pairs:
        share = Fraction(pair.arm_odds, pair.control_odds + pair.arm_odds)
        one, other = Fraction(wager.control_rate), Fraction(wager.arm_rate)
        for of_control, of_arm, did, did_also in (
            (one, other, pair.control.successes, pair.arm.successes),
            (1 - one, 1 - other, pair.control.people - pair.control.successes, pair.arm.people - pair.arm.successes),
        ):
            both = (1 - share) * of_control + share * of_arm
            made *= (of_control / both) ** did * (of_arm / both) ** did_also
    return made


def decimal_log_evidence(pairs: Sequence[Pair], digits: int = 50) -> Decimal:
    """The natural logarithm of E, by its definition, with so many digits."""
    with localcontext() as context:
        context.prec = digits + 10
        context.Emax, context.Emin = 10**12, -(10**12)
        total = Decimal(0)
        for stake, control_rate, arm_rate in WAGERS:
            won = Decimal(stake)
            for pair in pairs:
                share = Decimal(pair.arm_odds) / (pair.control_odds + pair.arm_odds)
                one, other = Decimal(control_rate), Decimal(arm_rate)
                for of_control, of_arm, did, did_also in (
                    (one, other, pair.control.successes, pair.arm.successes),
                    (1 - one, 1 - other, pair.control.people - pair.control.successes,
                     pair.arm.people - pair.arm.successes),
                ):  # fmt: skip
                    both = (1 - share) * of_control + share * of_arm
                    won *= (of_control / both) ** did * (of_arm / both) ** did_also
            total += won
        return (total / sum(stake for stake, _, _ in WAGERS)).ln()


def drifting(random: Random, people: int, low: float, high: float, effect: float = 0.0) -> Iterable[tuple[bool, bool]]:
    """People one after the other: whether drawn into the arm, by an even coin, and whether they did it.

    The rate walks between two bounds, as by day and night, and jumps.
    """
    rate = random.uniform(low, high)
    for _ in range(people):
        if random.random() < 0.01:
            rate = random.uniform(low, high)
        rate = min(high, max(low, rate + random.gauss(0, 0.01)))
        drawn = random.random() < 0.5
        yield drawn, random.random() < rate + (effect if drawn else 0.0)


def counted(people: Iterable[tuple[bool, bool]]) -> Iterable[Pair]:
    """The counts after each person."""
    counts = [[0, 0], [0, 0]]
    for drawn, did in people:
        counts[drawn][0] += 1
        counts[drawn][1] += did
        yield Pair(1, 1, Count(*counts[0]), Count(*counts[1]))

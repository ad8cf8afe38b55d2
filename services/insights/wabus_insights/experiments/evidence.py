"""How much the people who were counted speak against "the arm makes no difference": a bet on the coin that drew arms.

We know that coin, for we throw it. Where the arm makes no difference, a person's arm says nothing of what the person
does, so that whoever bets on the arms of those who did, and of those who did not, wins nothing in the long run. What
the bettor has made of one unit is the evidence E. Its mean is 1 at any number of people, whatever their rates are and
however these drift, and the chance that it ever reaches 1/α is at most α (Ville's inequality): one may look any time.

The bettor spreads the unit over `WAGERS`, each of which takes a pair of success rates for true and bets what follows
from it. Sources: Shafer, "Testing by betting" (2021); Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and
safe anytime-valid inference" (2023); Wang, Ramdas, "False discovery rate control with e-values" (2022).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple


class Count(NamedTuple):
    """People of an arm who are counted, and those among them who did what is counted."""

    people: int = 0
    successes: int = 0


@dataclass(frozen=True, slots=True)
class Stratum:
    """People for whom one coin was thrown: those of a time in which the weights stayed as they were.

    Somebody who was taken for two people was drawn twice, and is counted only if both draws fell on one arm: that
    happens by another coin, whose odds are the products of those of the draws. They are a stratum of their own.
    """

    odds: Mapping[str, int]
    """The weight of each arm; an arm that nobody was drawn into has none, or 0."""
    counts: Mapping[str, Count]


class Pair(NamedTuple):
    """The people of two arms in a stratum."""

    control_odds: int
    arm_odds: int
    control: Count
    arm: Count

    @property
    def people(self) -> int:
        return self.control.people + self.arm.people

    @property
    def share(self) -> float:
        """The chance that one of these people is drawn into the arm."""
        return self.arm_odds / (self.control_odds + self.arm_odds)


Direction = Literal["either", "more", "less"]
"""What is bet on: a difference, that the arm does more, or that it does less than the control."""


class Wager(NamedTuple):
    """A share of the stake, and the two success rates that it takes for true."""

    stake: int
    control_rate: float
    arm_rate: float


BASE_RATES = (0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9)
LOG_ODDS_SD = 0.35
"""How large differences of templates are, as a standard deviation of the log-odds ratio: 10 % against 13 % is 0.3."""
SMALLEST_LOG_ODDS, LARGEST_LOG_ODDS, LOG_ODDS_STEPS = 0.015, 1.8, 24
_PARTS = 1 << 30  # stakes are integers, so that they add up exactly


def _log_odds() -> list[tuple[float, int]]:
    """The log-odds ratios that are bet on, in even steps of their logarithm, and what is staked on each."""
    ratio = (LARGEST_LOG_ODDS / SMALLEST_LOG_ODDS) ** (1 / (LOG_ODDS_STEPS - 1))
    edges = [SMALLEST_LOG_ODDS * ratio ** (step - 0.5) for step in range(LOG_ODDS_STEPS + 1)]
    found: list[tuple[float, int]] = []
    for low, high in pairwise(edges):
        middle = math.sqrt(low * high)
        density = math.exp(-((middle / LOG_ODDS_SD) ** 2) / 2)
        found.append((middle, max(1, round(_PARTS * density * (high - low)))))
    return found


def _wagers() -> tuple[Wager, ...]:
    found: list[Wager] = []
    for rate in BASE_RATES:
        for size, stake in _log_odds():
            for shift in (size, -size):
                odds = rate / (1 - rate) * math.exp(shift)
                found.append(Wager(stake, rate, odds / (1 + odds)))
    return tuple(found)


WAGERS = _wagers()
"""What the unit is spread over: fixed once and for all, before anybody is seen."""


def wagers(direction: Direction = "either") -> tuple[Wager, ...]:
    """The wagers on a direction."""
    match direction:
        case "more":
            return tuple(each for each in WAGERS if each.arm_rate > each.control_rate)
        case "less":
            return tuple(each for each in WAGERS if each.arm_rate < each.control_rate)
        case "either":
            return WAGERS


def pairs_of(strata: Iterable[Stratum], control: str, arm: str) -> list[Pair]:
    """The people of two arms, of each stratum in which both could be drawn."""
    found: list[Pair] = []
    for each in strata:
        of_control, of_arm = each.odds.get(control, 0), each.odds.get(arm, 0)
        pair = Pair(of_control, of_arm, each.counts.get(control, Count()), each.counts.get(arm, Count()))
        if of_control > 0 and of_arm > 0 and pair.people:
            found.append(pair)
    return found


def log_evidence(pairs: Sequence[Pair], direction: Direction = "either") -> float:
    """The natural logarithm of E. With nobody it is 0.

    It depends on the counts alone, not on the order in which people came.
    """
    if not pairs:
        return 0.0
    numbers = [
        (pair.control.successes, pair.arm.successes, pair.control.people - pair.control.successes,
         pair.arm.people - pair.arm.successes)
        for pair in pairs
    ]  # fmt: skip
    tables = [_gains(*_lowest_terms(pair.control_odds, pair.arm_odds), direction) for pair in pairs]
    won = [0.0] * len(tables[0])
    for (control_did, arm_did, control_did_not, arm_did_not), table in zip(numbers, tables, strict=True):
        won = [
            before + control_did * gain[0] + arm_did * gain[1] + control_did_not * gain[2] + arm_did_not * gain[3]
            for before, gain in zip(won, table, strict=True)
        ]
    stakes, total = _stakes(direction)
    most = max(won)
    return most + math.log(math.fsum(s * math.exp(w - most) for s, w in zip(stakes, won, strict=True)) / total)


def e_bh(evidence: Mapping[str, float], alpha: float) -> frozenset[str]:
    """The arms of several for which a difference is shown, so that of those at most a share of α is wrong on average.

    `evidence` has log E of each arm against the control. It holds however the arms depend on each other. Of one arm it
    asks for E of 1/α.
    """
    ranked = sorted(evidence, key=lambda arm: -evidence[arm])
    shown = 0
    for place, arm in enumerate(ranked, 1):
        if evidence[arm] >= threshold(alpha, len(ranked), place):
            shown = place
    return frozenset(ranked[:shown])


def threshold(alpha: float, arms: int = 1, shown: int = 1) -> float:
    """From which log E on a difference is shown for `shown` of so many arms."""
    return math.log(arms / (alpha * shown))


def p_value(highest_log_evidence: float) -> float:
    """A p-value that holds at any time, of the highest log E so far."""
    return min(1.0, math.exp(-highest_log_evidence))


@lru_cache(maxsize=512)
def _gains(control_odds: int, arm_odds: int, direction: Direction) -> tuple[tuple[float, float, float, float], ...]:
    """By what the stake on each wager grows, as logarithms: for a success of the control, of the arm; then failures.

    The bettor says P(arm | success) = w·p / (w·p + v·q), and is paid at the odds of the coin.
    """
    share = arm_odds / (control_odds + arm_odds)
    rest = control_odds / (control_odds + arm_odds)
    found: list[tuple[float, float, float, float]] = []
    for _, control, arm in wagers(direction):
        more = arm - control
        found.append(
            (
                -math.log1p(share * more / control),
                -math.log1p(-rest * more / arm),
                -math.log1p(-share * more / (1 - control)),
                -math.log1p(rest * more / (1 - arm)),
            )
        )
    return tuple(found)


@lru_cache
def _stakes(direction: Direction) -> tuple[tuple[int, ...], int]:
    stakes = tuple(each.stake for each in wagers(direction))
    return stakes, sum(stakes)


def _lowest_terms(one: int, other: int) -> tuple[int, int]:
    divisor = math.gcd(one, other)
    return one // divisor, other // divisor

"""Whose turn it is: lanes by weight, one call at a time to a person, budgets of numbers and of pairs."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events.models.sends import Lane
from wabus_sender.sending.budgets import (
    LATE_MOST,
    PAIR_BORROWED,
    PAIR_EVERY,
    PAIR_MARGIN,
    SLOWEST,
    NumberBudget,
    PairBudgets,
    WallClock,
    level_of,
    set_aside,
)
from wabus_sender.sending.queue import HOLD, MostUrgentFirst, NumberQueue, Waiting


def waiting(name: str, lane: Lane = "service", person: str | None = None, sequence: int = 0) -> Waiting:
    return Waiting(name, "1", lane, person or f"person of {name}", sequence)


def to_anna(*sequences: int) -> list[Waiting]:
    return [waiting(str(sequence), person="Anna", sequence=sequence) for sequence in sequences]


def test_an_answer_goes_before_a_campaign_that_waits() -> None:
    queue = NumberQueue()
    queue.add(waiting(f"m{number}", "marketing") for number in range(200))
    queue.take(0, 10)
    queue.add([waiting("answer")])
    assert queue.take(0, 1).go == [waiting("answer")]


def test_an_answer_goes_before_what_is_claimed_of_a_campaign() -> None:
    waiting_for_turns = MostUrgentFirst[str]()
    lanes: tuple[Lane, ...] = ("marketing", "utility", "service", "marketing", "authentication", "service")
    for number, lane in enumerate(lanes):
        waiting_for_turns.add(lane, f"{lane}{number}")
    assert waiting_for_turns.first() == "authentication4"
    taken: list[str] = []
    while waiting_for_turns:
        taken.append(waiting_for_turns.take())
    assert taken == ["authentication4", "service2", "service5", "utility1", "marketing0", "marketing3"]


def test_lanes_share_by_weight() -> None:
    queue = NumberQueue()
    for lane in ("authentication", "service", "utility", "marketing"):
        queue.add(waiting(f"{lane}{number}", lane) for number in range(200))
    shares = Counter(each.lane for each in queue.take(0, 210).go)
    assert shares == {"authentication": 80, "service": 80, "utility": 40, "marketing": 10}


def test_marketing_waits_where_there_is_no_room_for_it() -> None:
    queue = NumberQueue()
    queue.add([waiting("m", "marketing"), waiting("u", "utility")])
    assert [each.send_id for each in queue.take(0, 5, marketing=0).go] == ["u"]


def test_no_more_marketing_goes_at_once_than_there_is_room_for() -> None:
    queue = NumberQueue()
    queue.add(waiting(f"m{number}", "marketing") for number in range(5))
    assert len(queue.take(0, 5, marketing=2).go) == 2
    assert len(queue.take(0, 5).go) == 3


def test_one_call_at_a_time_goes_to_a_person_in_the_order_of_the_requests() -> None:
    queue = NumberQueue()
    queue.add(waiting(f"{number}", person="Anna") for number in range(3))
    queue.add([waiting("other")])
    first = queue.take(0, 10).go
    assert [each.send_id for each in first] == ["0", "other"]
    queue.ended(first[0])
    assert [each.send_id for each in queue.take(0, 10).go] == ["1"]


def test_what_is_tried_again_holds_what_comes_after_it_for_a_while() -> None:
    queue = NumberQueue()
    queue.add(to_anna(1, 2))
    [first] = queue.take(0, 10).go
    queue.pairs.not_called("Anna")
    queue.again(first, 60, HOLD)
    turns = queue.take(1, 10)
    assert turns.go == []
    assert turns.later == [(*to_anna(2), HOLD)]
    queue.add(to_anna(2))
    assert queue.take(HOLD + 1, 10).go == to_anna(2)


def test_an_answer_does_not_overtake_one_whose_return_is_not_in_the_tables_yet() -> None:
    queue = NumberQueue()
    queue.add(to_anna(1, 2))
    [first] = queue.take(0, 10).go
    queue.pairs.not_called("Anna")
    queue.again(first, 1, HOLD)
    assert queue.take(0.5, 10).later == [(*to_anna(2), 1)]
    queue.add(to_anna(2))
    [(_, until)] = queue.take(1.5, 10).later
    assert 1.5 < until < 2
    queue.add([*to_anna(2), first])
    assert queue.take(until, 10).go == [first]


def test_an_answer_does_not_overtake_one_that_was_put_off_for_another() -> None:
    queue = NumberQueue()
    queue.add(to_anna(1, 2))
    [first] = queue.take(0, 10).go
    queue.again(first, 1, HOLD)
    [(second, until)] = queue.take(1.01, 10).later
    queue.add([first])
    assert queue.take(1.02, 10).go == [first]
    queue.ended(first)
    queue.add(to_anna(3))
    assert queue.take(1.1, 10).later == [(*to_anna(3), until)]
    queue.add([*to_anna(3), second])
    assert queue.take(until, 10).go == [second]


def test_a_hold_that_another_process_began_goes_on_here() -> None:
    queue = NumberQueue()
    first, second = to_anna(1, 2)
    queue.hold(first, 4, HOLD)
    queue.add([second])
    assert queue.take(0, 10).later == [(second, 4)]
    queue.add([second, first])
    assert queue.take(4, 10).go == [first]


def test_a_burst_to_one_person_is_borrowed_and_paid_back_whole() -> None:
    budgets = PairBudgets()
    assert [budgets.reserve("Anna", 0) for _ in range(PAIR_BORROWED)] == [0] * PAIR_BORROWED
    paid = PAIR_BORROWED * PAIR_EVERY + PAIR_MARGIN
    assert [budgets.reserve("Anna", at) for at in (0, 10)] == [paid, paid]
    assert budgets.reserve("Anna", paid) == paid


def test_a_call_that_comes_to_its_turn_too_late_for_its_burst_is_not_made() -> None:
    budgets = PairBudgets()
    for at in (0, 1, 4):
        budgets.reserve("Anna", at)
    assert budgets.called("Anna", 7) == 2 * PAIR_EVERY + PAIR_MARGIN - 7
    budgets.not_called("Anna")
    assert budgets.reserve("Anna", 7) == 2 * PAIR_EVERY + PAIR_MARGIN
    assert budgets.reserve("Anna", 13) == 13


def test_a_turn_that_was_not_used_costs_nothing() -> None:
    budgets = PairBudgets()
    budgets.reserve("Anna", 0)
    budgets.not_called("Anna")
    assert budgets.reserve("Anna", 5.5) == 5.5


def test_what_is_tried_again_counts_once_more() -> None:
    """Meta does not say that it counts only what it takes: forty that fail and are tried again are eighty calls."""
    queue = NumberQueue()
    queue.add(to_anna(*range(40)))
    made, now = 0, 0.0
    while (turns := queue.take(now, 1)).go:
        [each] = turns.go
        queue.pairs.answered("Anna", now)
        made += 1
        if made % 2:
            queue.again(each, now, now)
            queue.add([each])
        else:
            queue.ended(each)
        now += 0.01
    assert made == PAIR_BORROWED


def test_who_was_written_to_once_can_be_written_to_after_six_seconds() -> None:
    budgets = PairBudgets()
    assert budgets.reserve("Anna", 0) == 0
    assert budgets.reserve("Anna", 5.5) == PAIR_EVERY + PAIR_MARGIN
    assert budgets.reserve("Ben", 5.5) == 5.5


def test_what_another_process_has_sent_is_owed_too() -> None:
    budgets = PairBudgets()
    budgets.owed_since("Anna", [-8.0, -8.0, -8.0])
    once_more = 1  # for they were called later than they were claimed, or twice
    assert budgets.reserve("Anna", 0) == -8 + (3 + once_more) * PAIR_EVERY + PAIR_MARGIN
    assert budgets.reserve("Ben", 0) == 0


def test_nobody_is_written_to_too_early_because_the_message_before_went_late() -> None:
    budgets = PairBudgets()
    budgets.reserve("Anna", 0)
    budgets.called("Anna", 3)
    assert budgets.reserve("Anna", 9) == 3 + PAIR_EVERY + PAIR_MARGIN
    # Of a burst Meta counts from its first message on, and its later ones pay for nothing.
    for at in (0, 1, 2):
        budgets.reserve("Ben", at)
        budgets.called("Ben", at)
    assert budgets.reserve("Ben", 9) == 3 * PAIR_EVERY + PAIR_MARGIN


@given(
    st.lists(
        st.tuples(st.floats(0, 30) | st.just(0), st.floats(0, 3) | st.just(0), st.floats(0, 0.45), st.floats(0, 10)),
        min_size=1,
        max_size=120,
    )
)
@settings(max_examples=examples(200))
def test_meta_never_counts_more_to_a_person_than_it_allows(sends: list[tuple[float, float, float, float]]) -> None:
    """However long it takes from a turn to its call, until Meta counts it, and until its answer is here."""
    budgets, now = PairBudgets(), 0.0
    began, count = float("-inf"), 0
    for pause, claim, there, back in sends:
        now += pause
        while True:
            while (at := budgets.reserve("Anna", now)) > now:
                now = at
            now += claim
            if not (too_late := budgets.called("Anna", now)):
                break
            budgets.not_called("Anna")
            now += too_late
        arrives, now = now + there, now + there + back
        budgets.answered("Anna", now)
        if arrives >= began + count * PAIR_EVERY:
            began, count = arrives, 1
        else:
            assert arrives < began + 6, "Meta refuses it: 131056"
            assert count < PAIR_BORROWED
            count += 1


class Fate(NamedTuple):
    """What becomes of a call: how long it takes, whether it was made, and when it is tried again, if it is."""

    takes: float
    made: bool = True
    again_in: float | None = None


@given(
    st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.03, 0.3, 3.0]), min_size=1, max_size=120),
    st.lists(
        st.builds(Fate, st.floats(0, 1), st.booleans(), st.none() | st.none() | st.none() | st.floats(0, HOLD - 2)),
        min_size=1,
        max_size=20,
    ),
    st.floats(0, 1),
    st.sampled_from([0.05, 0.05, 1.0]),
)
@settings(max_examples=examples(300))
def test_nobody_reads_messages_in_another_order_than_they_were_asked_for(
    pauses: list[float], fates: list[Fate], behind: float, step: float
) -> None:
    """However many wait, are put off, are tried again, and however far the tables are behind what was told."""
    queue, now = NumberQueue(), 0.0
    arrives = list(accumulate(pauses))
    waits = dict(zip(to_anna(*range(len(pauses))), arrives, strict=True))
    calling: list[tuple[float, Waiting, Fate]] = []
    done, tried = list[int](), Counter[int]()
    while len(done) < len(pauses):
        now += step
        for answered, each, fate in list(calling):
            if answered <= now:
                calling.remove((answered, each, fate))
                if fate.made:
                    queue.pairs.answered("Anna", now)
                else:
                    queue.pairs.not_called("Anna")
                if fate.again_in is None:
                    queue.ended(each)
                    done.append(each.sequence)
                else:
                    queue.again(each, now + fate.again_in, now + max(HOLD, fate.again_in))
                    waits[each] = now + max(fate.again_in, behind)
        due = sorted((at, each.sequence, each) for each, at in waits.items() if at <= now)
        queue.add(each for *_, each in due[:60])
        turns = queue.take(now, 10)
        waits |= dict(turns.later)
        for each in turns.go:
            del waits[each]
            tried[each.sequence] += 1
            fate = fates[each.sequence % len(fates)] if tried[each.sequence] == 1 else Fate(0)
            if too_late := queue.pairs.called("Anna", now):
                fate = Fate(0, made=False, again_in=too_late)
            calling.append((now + fate.takes, each, fate))
        if not calling and waits:
            now = max(now, min(waits.values()) - step)
    assert done == sorted(done)


def test_what_is_put_off_until_one_moment_is_in_its_order_then_whenever_that_was_said() -> None:
    clock, start = WallClock(), datetime(2026, 12, 1, tzinfo=UTC)
    found: set[datetime] = set()
    for now in (0.0, 10.0, 20.0):
        clock.set(now, start + timedelta(seconds=now + now / 10_000))
        found.add(clock.at(60.0))
    [at] = found
    assert start + timedelta(seconds=60) < at < start + timedelta(seconds=60.1)
    clock.set(30, start + timedelta(hours=1))  # somebody has put the clock right
    assert clock.at(60.0) > start + timedelta(hours=1)


def calls(
    budget: NumberBudget, delays: list[tuple[float, float]], stalls: dict[int, float]
) -> list[tuple[float, float]]:
    """When calls were made and when Meta counted each, which takes the first of its two delays; the second is the
    answer's. This process stands still for so long before some of them. Until there are as many calls as delays.
    """
    now, made = 0.0, list[tuple[float, float]]()
    waiting: list[tuple[float, float]] = []
    while len(made) < len(delays):
        now = max(now, budget.slot(now)) + stalls.get(len(made), 0.0)
        while True:
            for answered, began in sorted(waiting):
                if answered <= now:
                    budget.window.ended(began, now)
                    waiting.remove((answered, began))
            at = budget.room_at(now)
            if at <= now:
                break
            now = min(at, *(answered for answered, _ in waiting if answered > now), at)
        there, back = delays[len(made)]
        budget.window.begun()
        made.append((now, now + there))
        waiting.append((now + there + back, now))
    return made


def most_in_a_second(moments: Iterable[float]) -> int:
    ordered = sorted(moments)
    return max(bisect_left(ordered, first + 1) - at for at, first in enumerate(ordered))


@pytest.mark.parametrize("level", [20.0, 80.0, 1000.0])
def test_a_number_is_kept_near_its_level_where_nothing_stands_still(level: float) -> None:
    made = calls(NumberBudget(level), [(0.02, 0.03)] * int(level * 5), {})
    assert most_in_a_second(counted for _, counted in made) <= level
    assert 0.94 <= len(made) / (made[-1][0] - made[0][0]) / level <= 0.96


@pytest.mark.parametrize("level", [20.0, 80.0])
def test_a_number_that_was_late_catches_up(level: float) -> None:
    count = int(level * 5)
    made = calls(NumberBudget(level), [(0.02, 0.03)] * count, dict.fromkeys(range(10, count, 20), 0.1))
    assert most_in_a_second(counted for _, counted in made) <= level
    assert len(made) / (made[-1][0] - made[0][0]) / level >= 0.9


@given(
    st.lists(st.tuples(st.floats(0, 1.5), st.floats(0, 0.5)), min_size=30, max_size=120),
    st.dictionaries(st.integers(0, 119), st.floats(0, 1.5), max_size=5),
)
@settings(max_examples=examples(100))
def test_meta_never_counts_more_than_the_level_however_it_or_we_stand_still(
    late: list[tuple[float, float]], stalls: dict[int, float]
) -> None:
    budget = NumberBudget(20.0)
    prompt = 20  # answers by which it is known how prompt they are
    ordinary = [(0.02, 0.03)] * prompt
    made = calls(budget, ordinary + [(0.02 + there, 0.03 + back) for there, back in late], stalls)
    assert most_in_a_second(counted for _, counted in made) <= 20


@pytest.mark.parametrize("slow", [0.1, 0.3, 0.6])
def test_nothing_is_too_fast_for_meta_after_a_moment_in_which_its_answers_were_slow(slow: float) -> None:
    level = 1_000.0
    ordinary, late = [(0.02, 0.03)] * 3_000, [(0.02 + slow, 0.03)] * 500
    made = calls(NumberBudget(level), [*ordinary, *late, *ordinary], {})
    assert most_in_a_second(counted for _, counted in made) <= level


def test_nothing_is_too_fast_for_meta_at_the_start_when_its_first_answers_are_slow() -> None:
    level = 1_000.0
    warming_up = [(0.42 - at / 1_000, 0.03) for at in range(400)]
    made = calls(NumberBudget(level), [*warming_up, *[(0.02, 0.03)] * 3_000], {})
    assert most_in_a_second(counted for _, counted in made) <= level


def test_what_answers_take_for_good_costs_nothing_after_a_minute() -> None:
    level = 80.0
    made = calls(NumberBudget(level), [*[(0.02, 0.03)] * 500, *[(0.3, 0.05)] * 8_000], {})
    lately = made[-1_000:]
    assert 0.94 <= len(lately) / (lately[-1][0] - lately[0][0]) / level <= 0.96


def test_a_number_that_was_long_late_does_not_catch_up_with_all_of_it() -> None:
    budget = NumberBudget(80.0)
    budget.slot(0)
    at = [budget.slot(100) for _ in range(100)]
    assert at[0] == 100
    assert at[-1] - at[0] >= 99 / budget.rate(0) - LATE_MOST - 0.01


def test_what_comes_in_is_taken_from_what_goes_out() -> None:
    budget = NumberBudget(20.0)
    assert set_aside(0, 5) == 0
    budget.comes_in = set_aside(20, 5)
    assert budget.comes_in == 8
    assert budget.rate(0) == pytest.approx(11)
    made = calls(budget, [(0.02, 0.03)] * 60, {})
    assert most_in_a_second(counted for _, counted in made) <= 12
    budget.comes_in = set_aside(500, 5)
    assert budget.rate(0) == SLOWEST


def test_a_call_that_was_not_made_takes_no_room() -> None:
    budget = NumberBudget(1.0)
    budget.window.begun()
    assert budget.room_at(0.1) > 0.1
    budget.window.ended(0, 0.1, made=False)
    assert budget.room_at(0.1) == 0.1


def test_a_number_that_was_too_fast_slows_down_and_recovers() -> None:
    budget = NumberBudget(100.0)
    before = budget.rate(0)
    budget.slow_down(0)
    assert budget.rate(0) == pytest.approx(before * 0.7)
    assert budget.rate(10) == pytest.approx(before * 0.8)
    assert budget.rate(1000) == before


def test_nothing_of_a_number_goes_while_it_pauses() -> None:
    queue = NumberQueue()
    queue.add([waiting("a")])
    queue.budget.pause(10, "pause_number")
    assert queue.take(9, 10).go == []
    assert len(queue.take(10, 10).go) == 1


def test_what_meta_did_not_take_is_not_overtaken_while_its_number_pauses() -> None:
    queue = NumberQueue()
    queue.add([waiting("first", person="Anna"), waiting("second", person="Anna")])
    [first] = queue.take(0, 10).go
    queue.budget.pause(60, "account_stop")
    queue.back(first)
    queue.add([waiting("first", person="Anna")])
    assert queue.take(60, 10).go == [first]
    queue.ended(first)
    assert [each.send_id for each in queue.take(60, 10).go] == ["second"]


def test_a_number_that_meta_has_stopped_is_tried_with_one_message_each_time() -> None:
    budget = NumberBudget(1_000.0)
    budget.pause(60, "account_stop")
    assert budget.ahead(60, 0.1) == 1
    assert budget.room_at(budget.slot(60)) == 60
    budget.window.begun()
    assert budget.room_at(60.1) > 60.1
    budget.window.ended(60, 60.2)
    budget.pause(120.2, "account_stop")
    assert budget.room_at(budget.slot(121)) == 121
    budget.window.begun()
    budget.goes_on()
    assert budget.room_at(121) == 121
    assert budget.ahead(121, 0.1) == 95


def test_whoever_takes_a_number_over_calls_nothing_that_meta_counts_together_with_the_calls_of_another() -> None:
    budget = NumberBudget(80.0)
    budget.wait_for_others(102)
    assert budget.slot(100) == 102
    assert budget.slot(102) > 102


def test_the_level_is_what_graph_says() -> None:
    assert level_of("HIGH", coexistence=False) == 1000
    assert level_of("HIGH", coexistence=True) == 20
    assert level_of(None, coexistence=False) == 80


def test_a_person_to_whom_too_much_went_waits_longer_each_time() -> None:
    queue = NumberQueue()
    assert [queue.pair_wait("Anna") for _ in range(4)] == [4, 16, 64, 64]
    queue.ended(waiting("a", person="Anna"))
    assert queue.pair_wait("Anna") == 4


def test_what_waits_for_a_moment_goes_with_its_number_if_that_pauses_for_longer() -> None:
    budget = NumberBudget()
    assert not budget.pauses_for(0, 0)
    budget.pause(60, "account_stop")
    assert budget.pauses_for(20, 30)
    assert not budget.pauses_for(60, 30)
    assert not budget.pauses_for(0, 60)

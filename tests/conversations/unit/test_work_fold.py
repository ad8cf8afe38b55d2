"""What is done with a conversation is the fold of its events in the order of the log."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from naive_work import logs, made, naive
from profiles import examples
from threads import at
from wabus_conversations.work.state import (
    NOTHING_DONE,
    TAGS_MOST,
    MessagePlace,
    Outcome,
    Work,
    fold,
    joined,
    state_of,
)
from wabus_events import (
    ConversationAssigned,
    ConversationClosed,
    ConversationEvent,
    ConversationReopened,
    ConversationSnoozed,
    ConversationTagged,
)


def after(log: Sequence[ConversationEvent], work: Work = NOTHING_DONE) -> tuple[Work, list[Outcome]]:
    outcomes: list[Outcome] = []
    for event in log:
        work, outcome = fold(work, event)
        outcomes.append(outcome)
    return work, outcomes


@settings(max_examples=examples(1_000), deadline=None)
@given(logs())
def test_the_fold_says_what_the_whole_log_says(log: list[ConversationEvent]) -> None:
    work, _ = after(log)

    assert {name: getattr(work, name) for name in naive(log)} == naive(log)


@settings(max_examples=examples(300), deadline=None)
@given(logs(), logs())
def test_of_two_conversations_that_are_one_nothing_is_lost(
    one: list[ConversationEvent], other: list[ConversationEvent]
) -> None:
    stays, goes = after(one)[0], after(other)[0]
    both = joined(stays, goes)

    assert both.holder == (stays.holder or goes.holder)
    assert {*both.tags} == {*stays.tags, *goes.tags}
    assert (both.put is None) == (stays.put is None or goes.put is None)
    assert joined(stays, stays) == stays


def test_what_somebody_has_left_to_nobody_is_not_given_away_because_its_person_is_known_better() -> None:
    taken = made(ConversationAssigned, 1, agent="anna")
    left = made(ConversationAssigned, 2, instead_of="anna", up_to_at=at(5), up_to_tie=0)

    both = joined(after([taken, left])[0], NOTHING_DONE)

    assert (both.holder, both.up_to) == (None, MessagePlace(at(5), 0))


def test_a_conversation_stays_with_its_team_until_another_has_it_or_nobody_shall() -> None:
    def whose(*log: ConversationEvent) -> str:
        return after(log)[0].audience

    team = made(ConversationAssigned, 1, team="orders")
    anna = made(ConversationAssigned, 2, agent="anna")
    closed = made(ConversationClosed, 3, up_to_at=at(5), up_to_tie=0)
    nobody = made(ConversationAssigned, 4)
    bot = made(ConversationAssigned, 5, bot="helper")

    assert whose() == whose(nobody) == whose(bot) == whose(closed) == ""
    assert (
        whose(team) == whose(team, anna) == whose(team, anna, closed) == whose(team, anna, closed, bot) == "team orders"
    )
    assert whose(anna) == whose(anna, closed) == "agent anna"
    assert whose(anna, closed, made(ConversationAssigned, 6, agent="ben")) == "agent ben"
    assert whose(team, anna, closed, made(ConversationAssigned, 6, team="returns")) == "team returns"
    assert whose(team, closed, nobody) == whose(team, nobody) == whose(anna, closed, nobody) == ""
    # It was open again by itself, and nobody had it: to say so is not to say nothing.
    assert whose(team, closed, made(ConversationReopened, 6)) == "team orders"
    assert whose(team, closed, made(ConversationReopened, 6), made(ConversationAssigned, 7)) == ""
    # Of two that are one, a team that had one of them has it.
    assert joined(after([bot])[0], after([team, closed])[0]).audience == "team orders"


def test_of_two_who_take_it_the_first_in_the_log_has_it() -> None:
    anna, ben = (made(ConversationAssigned, number, agent=agent) for number, agent in enumerate(("anna", "ben")))

    assert after([anna, ben])[0].agent == "anna"
    assert after([ben, anna])[0].agent == "ben"
    assert after([anna, ben])[1] == ["done", "taken"]


def test_a_rule_takes_nothing_from_anybody_and_opens_nothing_that_was_closed_meanwhile() -> None:
    def routed(number: int, second: int) -> ConversationAssigned:
        place: dict[str, Any] = {"up_to_at": at(second), "up_to_tie": 0}
        return made(ConversationAssigned, number, agent="ben", team="orders", reason="routed", **place)

    taken = made(ConversationAssigned, 1, agent="anna")
    assert after([taken, routed(2, 5)])[1] == ["done", "taken"]
    elsewhere = made(ConversationAssigned, 1, team="returns")
    assert after([elsewhere, routed(2, 5)])[1] == ["done", "taken"]
    closed = made(ConversationClosed, 1, up_to_at=at(5), up_to_tie=0)
    assert after([closed, routed(2, 5)])[1] == ["done", "taken"]
    assert after([closed, routed(2, 6)])[0].agent == "ben"


@pytest.mark.parametrize("kind", [ConversationClosed, ConversationSnoozed])
def test_it_is_open_again_with_the_first_message_that_was_not_there(kind: type[ConversationEvent]) -> None:
    until: dict[str, Any] = {"until": at(100)} if kind is ConversationSnoozed else {}
    work, _ = after([made(kind, 1, up_to_at=at(5), up_to_tie=7, **until)])

    heard = (None, MessagePlace(at(5), 7), MessagePlace(at(5), 8), MessagePlace(at(6), 0))
    assert [state_of(work, last) == "open" for last in heard] == [False, False, True, True]
    never_heard, _ = after([made(kind, 1, **until)])
    assert (state_of(never_heard, None) == "open", state_of(never_heard, MessagePlace(at(1), 0))) == (False, "open")


def test_the_end_of_one_snooze_does_not_end_another() -> None:
    first, second = (made(ConversationSnoozed, number, until=at(100)) for number in (1, 2))
    over = made(ConversationReopened, 3, snooze=first.id)

    assert after([first, over])[0].put is None
    assert after([first, second, over])[0].put == "snoozed"
    assert after([first, made(ConversationClosed, 2), over])[0].put == "closed"


def test_there_are_only_so_many_tags() -> None:
    many = [made(ConversationTagged, number, added=[f"tag {number}"]) for number in range(TAGS_MOST + 1)]
    work, outcomes = after(many)

    assert (len(work.tags), outcomes[-1]) == (TAGS_MOST, "too_many")
    swapped = made(ConversationTagged, 99, added=["new"], removed=["tag 0"])
    assert fold(work, swapped)[1] == "done"
    crowded = replace(work, tags=(*work.tags, "of two that were one"))
    assert fold(crowded, made(ConversationTagged, 98, removed=["tag 1"]))[1] == "done"

"""The fold of any history, in any order and with repetitions, is that of a reference that reads it in order."""

import random
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from naive_threads import Naive, histories, naive
from profiles import examples
from threads import IDS, ORG, at, facts, rules
from wabus_conversations.threads.facts import Account
from wabus_conversations.threads.fold import Thread, threads_of
from wabus_conversations.threads.gathering import Gathering, gather
from wabus_conversations.threads.ids import message_id
from wabus_events import Event


def conversation_id(key: tuple[str, str | None, str | None]) -> str:
    number, who, group = key
    if who is None:
        return IDS.group_conversation(ORG, number, group or "")
    return IDS.conversation(ORG, number, who)


def expected(found: Naive) -> dict[str, Any]:
    return {
        conversation_id(key): (
            row,
            {
                _message_id(message.number, message.wamid): (
                    message.at, message.source, message.outgoing, message.kind, message.state, message.times
                )
                for message in found.messages.values() if message.key == key
            },
        )
        for key, row in found.conversations.items()
    }  # fmt: skip


def _message_id(number: str, wamid: str) -> str:
    call, _, ended = wamid.partition(" ")
    return message_id(ORG, number, f"{call}\x1fterminate\x1f" if ended else wamid)


def held(threads: list[Thread]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for thread in threads:
        summary = thread.summary
        row = {
            name: getattr(summary, name)
            for name in (
                "first_at", "history_at", "unread", "user_last_at", "maybe_at", "refused_at", "referred_at",
                "free_reported_until",
            )
        }  # fmt: skip
        row["last_at"] = summary.last and summary.last[0]
        row["free_computed_until"] = thread.free_computed_until
        row["name"] = summary.name and summary.name[1]
        messages: dict[str, Any] = {}
        for message in thread.messages:
            words = ("sent", "delivered", "read", "played", "failed")
            times = {word: at for word in words if (at := getattr(message, f"{word}_at"))}
            messages[message.message_id] = (
                message.at, message.source, message.outgoing, message.kind, message.state, times
            )  # fmt: skip
        found[thread.place.conversation_id] = row, messages
    return found


@settings(max_examples=examples(500))
@given(histories(), st.integers())
def test_the_same_threads_whatever_came_first_and_however_often(history: list[Event], seed: int) -> None:
    order = random.Random(seed)
    shuffled = [*history, *order.choices(history, k=3)]
    order.shuffle(shuffled)

    assert held(threads_of(gather(facts(shuffled), rules()), IDS)) == expected(naive(history))


@settings(max_examples=examples(200))
@given(histories(), st.integers(0, 30), st.integers(-5, 30))
def test_a_batch_says_the_same_in_whatever_pieces_it_is_prepared(history: list[Event], cut: int, since: int) -> None:
    told = facts(history)

    def kept_from(_: Account) -> datetime:
        return at(since)

    some_are_too_old = rules(kept_from=kept_from)
    in_pieces = Gathering(some_are_too_old)

    for piece in (told[:cut], [], told[cut:]):
        in_pieces.add(piece)

    assert in_pieces.batch() == gather(told, some_are_too_old)

"""What became of a message: never a wrong tick, never a lost one."""

from itertools import permutations

import pytest
from threads import ANNA_ID, BEN_ID, at, echoed, facts, last, only_thread, received, rules, status, threads
from wabus_conversations.threads.fold import Thread
from wabus_conversations.threads.gathering import gather
from wabus_events import Event
from wabus_whatsapp.joins import MessageState
from wabus_whatsapp.window import REFUSED


def sent(*statuses: Event) -> Thread:
    return only_thread(echoed("1", 1), *statuses)


@pytest.mark.parametrize("order", list(permutations(("sent", "delivered", "read"))))
def test_a_read_message_never_falls_back_to_sent(order: tuple[str, ...]) -> None:
    when = {"sent": 2, "delivered": 3, "read": 4}
    (message,) = sent(*(status("1", word, when[word]) for word in order)).messages

    assert message.state == MessageState.READ
    assert (message.sent_at, message.delivered_at, message.read_at) == (at(2), at(3), at(4))


def test_a_message_read_at_once_counts_as_delivered() -> None:
    (message,) = sent(status("1", "read", 2)).messages

    assert message.state > MessageState.DELIVERED


@pytest.mark.parametrize("failed", [2, 4])
def test_a_failure_on_another_device_takes_no_delivery_back(failed: float) -> None:
    (message,) = sent(status("1", "delivered", 3), status("1", "failed", failed, codes=[131026])).messages

    assert message.state == MessageState.DELIVERED
    assert message.failed_at == at(failed), "it stays as a note"


def test_a_message_that_only_failed_has_failed() -> None:
    (message,) = sent(status("1", "sent", 2), status("1", "failed", 3)).messages

    assert message.state == MessageState.FAILED


def test_a_status_before_its_message_is_not_lost() -> None:
    late, early = echoed("1", 1), status("1", "delivered", 2)

    assert only_thread(early, late).messages[0].state == only_thread(late, early).messages[0].state


def test_a_message_sent_elsewhere_is_known_by_its_status() -> None:
    thread = only_thread(received("0", 0), status("1", "read", 3), status("1", "sent", 2))

    message = thread.messages[-1]
    assert (message.source, message.outgoing, message.at) == (1, True, at(2))
    assert last(thread) == at(0), "what is not shown is no activity"


def test_a_status_told_three_times_is_one() -> None:
    again = status("1", "delivered", 2)

    assert sent(again, again, again).messages == sent(again).messages
    turned = dict(reversed(again.value["statuses"][0].items()))
    other_order = again.model_copy(update={"value": {"statuses": [turned]}})
    assert len(gather(facts([again, other_order, again]), rules()).statuses) == 1


def test_a_voice_message_that_was_played_is_more_than_read() -> None:
    (message,) = sent(status("1", "played", 3), status("1", "read", 4)).messages

    assert message.state == MessageState.PLAYED


def test_everybody_in_a_group_has_a_status_of_their_own() -> None:
    thread = only_thread(
        status("1", "delivered", 2, None, ANNA_ID, group="g"), status("1", "delivered", 3, None, BEN_ID, group="g")
    )

    assert thread.place.group_id == "g"
    assert thread.messages[0].delivered_at == at(2)


def test_a_hundred_members_of_a_group_are_a_hundred_statuses() -> None:

    events = [status("1", "read", 2, None, f"US.{number}", group="g") for number in range(100)]

    assert len(gather(facts(events), rules()).statuses) == 100


def test_a_payment_that_failed_is_no_message_that_failed() -> None:
    (message,) = sent(
        status("1", "delivered", 2), status("1", "failed", 3, type="payment", payment={"reference_id": "order-1"})
    ).messages

    assert message.state == MessageState.DELIVERED
    assert message.failed_at is None


def test_a_refusal_for_the_window_is_known_in_its_thread() -> None:
    thread = sent(received("0", 0), status("1", "failed", 2, codes=[REFUSED]))

    assert thread.summary.refused_at == at(2)


def test_a_status_of_a_word_of_tomorrow_is_kept_and_moves_no_tick() -> None:
    (message,) = sent(status("1", "sent", 2), status("1", "warped", 9)).messages

    assert message.state == MessageState.SENT


def test_the_same_wamid_at_two_numbers_is_two_messages() -> None:
    assert len(threads(received("1", 1), received("1", 1, number="number-2"))) == 2

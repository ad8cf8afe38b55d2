"""Whose a message is: what somebody sees in the inbox when numbers come, go, change and are passed on."""

from itertools import permutations

import orjson
import pytest
from threads import (
    ANNA,
    ANNA_ID,
    BEN,
    BEN_ID,
    NUMBER,
    WABA,
    at,
    echoed,
    facts,
    handed_over,
    identity,
    in_book,
    only_thread,
    person,
    preference,
    received,
    rules,
    status,
    threads,
)
from wabus_conversations.threads.fold import Thread
from wabus_conversations.threads.gathering import gather
from wabus_events import Event


def told(thread: Thread) -> list[str]:
    return [message.told.wamid for message in thread.messages if message.told]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_customer_who_hides_their_number_stays_in_their_thread(order: tuple[int, ...]) -> None:
    events = [received("1", 1, ANNA), received("2", 2, ANNA, ANNA_ID), received("3", 3, None, ANNA_ID)]

    thread = only_thread(*(events[place] for place in order))

    assert told(thread) == ["1", "2", "3"]
    assert thread.place.person_id == person(ANNA)


def test_who_got_a_new_user_id_before_writing_with_it_stays_in_their_thread() -> None:
    thread = only_thread(
        received("1", 1, None, ANNA_ID),
        identity(2, (None, ANNA_ID), (None, "US.2001")),
        received("2", 3, None, "US.2001"),
    )

    assert told(thread) == ["1", "2"]


def test_two_threads_of_one_person_become_one_when_meta_says_so() -> None:
    before = threads(received("1", 1, None, ANNA_ID), received("2", 3, None, "US.2001"))
    thread = only_thread(
        received("1", 1, None, ANNA_ID),
        received("2", 3, None, "US.2001"),
        identity(2, (None, ANNA_ID), (None, "US.2001")),
    )

    assert len(before) == 2
    assert thread.place.person_id == person(ANNA_ID), "the one that was seen first stays"
    assert thread.summary.unread == sum(each.summary.unread for each in before)


def test_who_changed_their_number_is_not_two_people() -> None:
    change = received("3", 3, ANNA, kind="system", system={"type": "user_changed_number", "wa_id": BEN, "body": "…"})

    thread = only_thread(received("1", 1, ANNA), change, received("4", 4, BEN))

    assert told(thread) == ["1", "3", "4"]
    assert [message.kind for message in thread.messages] == ["message", "system", "message"]
    assert thread.summary.user_last_at == received("4", 4).time, "a notice of the system opens no window"


def test_a_new_user_id_without_contacts_is_still_theirs() -> None:
    change = received(
        "2", 2, None, ANNA_ID, kind="system", system={"type": "user_changed_user_id", "user_id": "US.2001"}
    )

    thread = only_thread(received("1", 1, None, ANNA_ID), change, received("3", 3, None, "US.2001"))

    assert told(thread) == ["1", "2", "3"]


@pytest.mark.parametrize("notice", [{"user_id": "US.2001"}, {"user_id": "US.2001", "wa_id": BEN}])
def test_a_notice_with_the_new_user_id_beside_the_old_number_splits_nobody(notice: dict[str, str]) -> None:
    system = {"type": "user_changed_user_id", "body": "…", **notice}
    change = received("2", 2, ANNA, "US.2001", kind="system", system=system)
    told_again = identity(2, (ANNA, None), (notice.get("wa_id"), "US.2001"))  # what the gateway makes of it beside
    events = received("1", 1, ANNA, ANNA_ID), change, told_again, received("3", 3, notice.get("wa_id"), "US.2001")

    for order in permutations(events):
        assert told(only_thread(*order)) == ["1", "2", "3"]


def test_a_notice_of_tomorrow_that_names_somebody_else_makes_nobody_read_their_messages() -> None:
    notice = {"type": "user_was_invited_by", "body": "…", "wa_id": BEN, "user_id": BEN_ID}

    found = threads(
        received("1", 1, BEN, BEN_ID), received("2", 2, ANNA, ANNA_ID, kind="system", system=notice),
        received("3", 3, ANNA, ANNA_ID),
    )  # fmt: skip

    assert [told(thread) for thread in found] == [["2", "3"], ["1"]]


def test_a_number_passed_on_is_another_person() -> None:
    newer, older = threads(
        received("1", 1, ANNA, ANNA_ID),
        received("2", 2, ANNA),
        received("3", 3, ANNA, BEN_ID),
        received("4", 4, ANNA),
    )

    assert told(older) == ["1", "2"]
    assert told(newer) == ["3", "4"]
    assert older.place.person_id == person(ANNA_ID)
    assert newer.place.person_id == person(BEN_ID)


def test_who_moves_to_a_number_of_somebody_else_does_not_read_their_messages() -> None:
    newer, older = threads(
        received("1", 1, BEN, BEN_ID),
        received("2", 2, ANNA, ANNA_ID),
        identity(3, (ANNA, ANNA_ID), (BEN, "US.2001")),
        received("4", 4, BEN),
        received("5", 5, BEN, "US.2001"),
    )

    assert told(older) == ["1"]
    assert told(newer) == ["2", "4", "5"]


def test_a_number_without_the_ninth_digit_is_found_again() -> None:
    """Meta's answer to a send links both; the same evidence is in an item that names one user id with each."""
    thread = only_thread(
        echoed("1", 1, "5511987654321", "BR.1"),
        status("1", "sent", 1, "551187654321", "BR.1"),
        received("2", 2, "551187654321"),
    )

    assert told(thread) == ["1", "2"]


def test_numbers_that_look_alike_are_not_merged() -> None:
    assert len(threads(received("1", 1, "5215512345678"), received("2", 2, "525512345678"))) == 2


def test_somebody_who_writes_to_two_numbers_is_one_person_with_two_threads() -> None:
    found = threads(received("1", 1), received("2", 2, number="number-2"))

    assert len({thread.place.person_id for thread in found}) == 1
    assert len({thread.place.conversation_id for thread in found}) == 2


def test_two_organisations_share_nobody() -> None:
    event = received("2", 2, number="number-2", waba="waba-2")
    found = threads(received("1", 1), event.model_copy(update={"org_id": "rival"}))

    assert len({thread.place.person_id for thread in found}) == 2


def test_only_who_shares_a_number_of_their_own_is_known_by_it() -> None:
    def card(origin: str) -> Event:
        contacts = [{"origin": origin, "name": {"formatted_name": "Ben"}, "phones": [{"wa_id": BEN}]}]
        return received("1", 1, None, ANNA_ID, kind="contacts", contacts=contacts)

    assert told(only_thread(card("contact_request"), received("2", 2, BEN))) == ["1", "2"]
    assert len(threads(card("other"), received("2", 2, BEN))) == 2


def test_a_failure_that_names_no_user_is_in_the_thread_of_its_message() -> None:
    thread = only_thread(
        echoed("1", 1, None, ANNA_ID), status("1", "failed", 2, ANNA, codes=[131026]), received("2", 3, None, ANNA_ID)
    )

    assert told(thread) == ["1", "2"]
    assert thread.messages[0].failed_at


def test_the_newest_name_stands_and_an_empty_one_is_none() -> None:
    long = "\N{RIGHT-TO-LEFT MARK}" + "\N{FAMILY}" * 1000
    thread = only_thread(received("2", 2, name=long), received("3", 3, name=""), received("1", 1, name="Anna"))

    assert thread.summary.name == (received("2", 2).time, long)


def test_what_somebody_wants_is_theirs_by_any_identifier() -> None:
    events = [preference(1, "stop", ANNA, ANNA_ID), preference(2, "resume", None, ANNA_ID), preference(0, "stop")]

    found = gather(facts(events), rules()).contact_facts

    of_user = found[NUMBER, person(ANNA_ID), "preference marketing_messages"]
    assert (of_user[0], orjson.loads(of_user[1])) == (at(2), {"choice": "resume", "wants_marketing": True})
    assert found[NUMBER, person(ANNA), "preference marketing_messages"][0] == at(0)


def test_the_newest_owner_of_a_thread_stands() -> None:
    found = gather(facts([handed_over(2, "control_taken"), handed_over(1, "control_passed")]), rules()).contact_facts

    assert orjson.loads(found[NUMBER, person(ANNA), "thread_owner"][1])["ours"] is False


def test_the_name_in_the_address_book_is_the_newest() -> None:
    found = gather(facts([in_book(2, None), in_book(1, "Anna from the market"), in_book(3, "Anna")]), rules()).books

    assert found == {person(ANNA): (at(3), "Anna", WABA)}


def test_whom_meta_does_not_name_is_kept_apart_and_kept() -> None:
    nobody, anna = threads(received("1", 1), received("2", 2, None, None))

    assert told(nobody) == ["2"]
    assert (nobody.place.person_id, nobody.place.group_id) == (None, "")
    assert told(anna) == ["1"]
    assert anna.place.account.waba_id == WABA
    assert anna.place.account.phone_number_id == NUMBER

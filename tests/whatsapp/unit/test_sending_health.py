"""Meta's own word about who may send, read from answers as they came, and from some that never should."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import SendingError, SendingRestriction
from wabus_whatsapp.sending.health import ERRORS_MOST, RESTRICTIONS_MOST, TEXT_MOST, can_send, restrictions
from wabus_whatsapp.text.stored import sentence

PAYMENT: dict[str, Any] = {
    "error_code": 141006,
    "error_description": "There is an error with the payment method. This will block business initiated conversations.",
    "possible_solution": "There was an error with your payment method. Please add a new payment method to the account.",
}
NUMBER = {
    "can_send_message": "BLOCKED",
    "entities": [
        {"entity_type": "PHONE_NUMBER", "id": "106540352242922", "can_send_message": "AVAILABLE"},
        {"entity_type": "WABA", "id": "102290129340398", "can_send_message": "BLOCKED", "errors": [PAYMENT]},
        {
            "entity_type": "BUSINESS",
            "id": "506914307656634",
            "can_send_message": "LIMITED",
            "additional_info": ["Your business is not verified."],
        },
        {"entity_type": "APP", "id": "1234567890", "can_send_message": "AVAILABLE"},
    ],
}


def test_what_is_available_is_no_restriction_and_the_rest_keeps_metas_words() -> None:
    assert can_send(NUMBER) == "BLOCKED"
    assert restrictions([NUMBER]) == [
        SendingRestriction(
            entity_type="BUSINESS",
            entity_id="506914307656634",
            can_send_message="LIMITED",
            additional_info=["Your business is not verified."],
        ),
        SendingRestriction(
            entity_type="WABA",
            entity_id="102290129340398",
            can_send_message="BLOCKED",
            errors=[
                SendingError(
                    error_code=141006,
                    description=PAYMENT["error_description"],
                    possible_solution=PAYMENT["possible_solution"],
                )
            ],
        ),
    ]


def test_an_account_that_ten_numbers_tell_of_is_one_restriction() -> None:
    assert restrictions([NUMBER] * 10) == restrictions([NUMBER])


def test_where_graph_says_nothing_nothing_is_known() -> None:
    for nothing in (None, {}, "BLOCKED", {"entities": None}):
        assert (can_send(nothing), restrictions([nothing])) == (None, [])


def test_metas_texts_are_one_line_that_every_store_can_hold_and_nobody_can_turn_round() -> None:
    mark = "\N{REPLACEMENT CHARACTER}"
    assert sentence(" Pay\0 now\n\u202eat\ud800 once ", 40) == f"Pay{mark} now at{mark} once"
    assert sentence("a" * 1000, 10) == "aaaaaaaaa…"
    assert (sentence(" \n", 10), sentence(7, 10)) == (None, None)


ENTITY = st.fixed_dictionaries(
    {},
    optional={
        "entity_type": st.sampled_from(["WABA", "PHONE_NUMBER", 7, "x" * 100]),
        "id": st.text(max_size=100) | st.integers() | st.none(),
        "can_send_message": st.sampled_from(["BLOCKED", "LIMITED", "AVAILABLE", None, "blocked"]),
        "errors": st.lists(
            st.dictionaries(
                st.sampled_from(["error_code", "error_description", "possible_solution"]),
                st.text(max_size=900) | st.integers() | st.none() | st.booleans(),
            ),
            max_size=20,
        )
        | st.text(),
        "additional_info": st.lists(st.text() | st.integers(), max_size=20) | st.text(),
    },
)


@settings(max_examples=examples(60))
@given(st.lists(st.fixed_dictionaries({"entities": st.lists(ENTITY, max_size=80)}), max_size=3))
def test_whatever_graph_answers_is_bounded_and_in_one_order(statuses: list[dict[str, Any]]) -> None:
    found = restrictions(statuses)
    assert len(found) <= RESTRICTIONS_MOST
    assert found == restrictions(statuses)
    assert found == sorted(found, key=lambda each: (each.entity_type, each.entity_id or ""))
    for each in found:
        assert len(each.errors) <= ERRORS_MOST
        texts = [*each.additional_info, *(error.description or "" for error in each.errors)]
        assert all(len(text) <= TEXT_MOST for text in texts)
        each.model_dump_json().encode()

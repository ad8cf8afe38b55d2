"""What a receipt for a request of deletion says: what happened, and nothing else."""

from datetime import UTC, datetime

import pytest
from wabus_gateway.api.receipts import NAMED_MOST, Outcome, Receipt, as_page, confirmation_code

NOW = datetime(2026, 1, 2, 3, tzinfo=UTC)
ACCOUNTS = tuple(str(10**14 + number) for number in range(30))


def said(outcome: Outcome) -> tuple[str, str]:
    title, sentences = as_page(Receipt.read(Receipt.of(outcome, NOW).text()))
    return title, " ".join(sentences)


@pytest.mark.parametrize(
    ("outcome", "title", "sentences"),
    [
        (Outcome(), "We held nothing of yours", ["2026-01-02", "nothing to delete"]),
        (Outcome(ended=("7", "8")), "Your data was deleted", ["2 access tokens", "your Facebook user id", "7, 8"]),
        (Outcome(ended=("7",)), "Your data was deleted", ["1 access token that", "accounts 7."]),
        (Outcome(newer=("7",)), "Nothing was deleted", ["1 account stayed connected"]),
        (Outcome(ended=("7",), busy=("8", "9")), "Your data was deleted", ["2 accounts could not", "ask once more"]),
    ],
)
def test_a_person_reads_what_became_of_the_request(outcome: Outcome, title: str, sentences: list[str]) -> None:
    found, text = said(outcome)
    assert found == title
    assert [sentence for sentence in sentences if sentence not in text] == []
    assert "that organisation's" in text


def test_nobody_is_told_that_something_was_removed_where_there_was_nothing() -> None:
    assert "removed" not in said(Outcome())[1]
    assert "removed" not in said(Outcome(newer=("7",)))[1]


def test_a_receipt_stays_short_enough_for_an_address() -> None:
    many = Outcome(ended=ACCOUNTS)
    assert len(Receipt.of(many, NOW).text()) < 500
    assert said(many)[1].count("1000000000000") == NAMED_MOST
    assert "and 10 more" in said(many)[1]


def test_a_receipt_of_an_earlier_release_is_still_answered_and_claims_nothing() -> None:
    title, sentences = as_page(Receipt.read("2025-12-31T10:00:00+00:00"))
    assert title == "Your request was handled"
    assert "if there were any" in sentences[0]
    assert "2025-12-31" in sentences[0]


def test_the_code_is_of_letters_and_digits_as_meta_wants_it() -> None:
    assert confirmation_code("k1.a-b_c").isalnum()
    assert confirmation_code("k1.a-b_c") != confirmation_code("k1.a-b_d")

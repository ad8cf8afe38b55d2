"""Rules of what is charged at all, as a file has them: what is missing or strange is said, and nothing is guessed."""

import json
from datetime import date
from typing import Any

import pytest
from wabus_whatsapp.prices.reading import FileRefused
from wabus_whatsapp.prices.rules import BUILT_IN, PriceRules, doubts_about, read_rules

TODAY = date(2026, 12, 1)
RULES: dict[str, Any] = {
    "effective": "2027-01-01", "source": "Meta: Pricing", "service_charged": True, "service_free_monthly": 1000,
    "utility_in_window_charged": True, "free_entry_point_hours": 72,
}  # fmt: skip


def file(*rules: Any) -> bytes:
    return json.dumps(rules[0] if len(rules) == 1 else rules).encode()


def test_one_and_several_are_read_the_oldest_first() -> None:
    [one] = read_rules(b"\xef\xbb\xbf" + file(RULES))
    assert one == PriceRules(date(2027, 1, 1), "Meta: Pricing", service_charged=True, service_free_monthly=1000)
    days = [each.effective for each in read_rules(file(RULES, {**RULES, "effective": "2026-12-31"}))]
    assert days == [date(2026, 12, 31), date(2027, 1, 1)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (file({**RULES, "service_free_montly": 5}), "service_free_montly: "),
        (
            file({name: value for name, value in RULES.items() if name != "service_free_monthly"}),
            "service_free_monthly: ",
        ),
        (file({**RULES, "service_charged": "yes"}), "service_charged: "),
        (file({**RULES, "effective": "1 January"}), "effective: "),
        (file({**RULES, "service_free_monthly": -1}), "service_free_monthly: "),
        (file({**RULES, "service_free_monthly": 1.5}), "service_free_monthly: "),
        (file({**RULES, "source": ""}), "source: "),
        (file(RULES, {**RULES, "service_charged": 1}), "2.service_charged: "),
        (file(RULES, RULES), "Two rules are from 2027-01-01."),
        (b"[]", "The file has no rules."),
        (b"{", "The file is not right: "),
        (b"\xff", "The file is not right: "),
        (b"7", "The file is not right: "),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_what_is_wrong(content: bytes, said: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read_rules(content)
    assert any(problem.startswith(said) for problem in refused.value.problems), refused.value.problems


def test_what_is_strange_beside_the_rules_before_has_to_be_confirmed() -> None:
    def doubts(**changed: Any) -> list[str]:
        [new] = read_rules(file({**RULES, **changed}))
        return doubts_about(new, BUILT_IN, TODAY)

    assert doubts() == []
    assert doubts(service_free_monthly=600) == []
    assert len(doubts(service_free_monthly=100)) == 1
    assert len(doubts(service_charged=False)) == 1
    assert len(doubts(effective="2028-01-01")) == 1
    assert len(doubts(effective="2020-01-01", service_charged=False, utility_in_window_charged=False)) == 2

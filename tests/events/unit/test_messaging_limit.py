"""Meta's words for how many people a business may write to first."""

from typing import Any

import pytest
from wabus_events.models.messaging_limit import is_lower, limit_of, people_a_day


@pytest.mark.parametrize(
    ("word", "limit"),
    [
        *((250, 250), ("250", 250), ("TIER_50", 50), ("TIER_1K", 1000), ("TIER_100K", 100_000)),
        *((-1, -1), ("-1", -1), ("TIER_UNLIMITED", -1), ("TIER_NOT_SET", None), ("STANDARD", None), ("TIER_K", None)),
        *(
            (-2, None),
            (True, None),
            (2.5, None),
            (10**30, None),
            ("9" * 50, None),
            ("²", None),
            ([], None),
            (None, None),
        ),
    ],
)
def test_every_word_of_meta_for_a_limit_is_the_same_number(word: Any, limit: int | None) -> None:
    assert people_a_day(word) == limit


def test_a_limit_is_lower_only_where_both_are_known() -> None:
    assert [is_lower(*pair) for pair in [(250, 2000), (250, -1), (0, 250)]] == [True] * 3
    assert [is_lower(*pair) for pair in [(2000, 250), (-1, 250), (-1, -1), (None, 250), (250, None)]] == [False] * 5


def test_the_limit_of_the_portfolio_counts_and_that_of_the_number_where_there_is_no_other() -> None:
    limits = {"whatsapp_business_manager_messaging_limit": "TIER_2K", "messaging_limit_tier": "TIER_250"}
    assert limit_of(limits) == "TIER_2K"
    assert limit_of({**limits, "whatsapp_business_manager_messaging_limit": None}) == "TIER_250"
    assert limit_of({"messaging_limit_tier": None}) is None

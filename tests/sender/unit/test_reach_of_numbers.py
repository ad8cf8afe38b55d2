"""How many people marketing may still be sent to."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_sender.sending.reach import Reach


@pytest.mark.parametrize(
    ("people", "limit", "left", "near"),
    [
        (0, None, inf, False),
        (10**6, -1, inf, False),
        (0, 250, 238, False),
        (199, 250, 39, False),
        (200, 250, 38, True),
        (238, 250, 0, True),
        (300, 250, 0, True),
        (0, 0, 0, True),
    ],
)
def test_the_last_of_a_limit_are_not_for_marketing(people: int, limit: int | None, left: float, near: bool) -> None:
    reach = Reach(people, limit)
    assert (reach.for_marketing, reach.is_near) == (left, near)


@given(st.integers(0, 10**6), st.integers(20, 10**6))
def test_marketing_alone_never_uses_a_whole_limit(people: int, limit: int) -> None:
    left = Reach(people, limit).for_marketing
    assert left >= 0
    assert people >= limit or people + left < limit

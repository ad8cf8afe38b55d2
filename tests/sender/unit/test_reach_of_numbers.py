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
    assert reach.share == left
    assert Reach(people, limit, processes=2).share == (inf if left == inf else left // 3)


@given(st.integers(0, 10**6), st.integers(20, 10**6))
def test_marketing_alone_never_uses_a_whole_limit(people: int, limit: int) -> None:
    left = Reach(people, limit).for_marketing
    assert left >= 0
    assert people >= limit or people + left < limit


@given(
    st.integers(2, 4),
    st.integers(250, 100_000),
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 1)), max_size=200),
)
def test_several_senders_of_a_portfolio_do_not_write_to_more_people_together_than_whatsapp_allows(
    processes: int, limit: int, steps: list[tuple[int, bool, float]]
) -> None:
    """Each looks and sends when it likes, but that none looks three times while another one does not."""
    people, looked = 0, dict.fromkeys(range(processes), 0)
    shares = dict.fromkeys(range(processes), 0.0)
    for step, looks, part in steps:
        process = step % processes
        if looks and looked[process] < min(looked.values()) + 2:
            looked[process] += 1
            shares[process] = Reach(people, limit, processes=processes).share
        elif not looks:
            sent = int(shares[process] * part)
            people, shares[process] = people + sent, shares[process] - sent
    assert people <= limit


def test_two_senders_of_a_portfolio_use_up_what_is_for_marketing_within_some_looks() -> None:
    people = 0
    for _ in range(8):
        people += 2 * int(Reach(people, 2_000, processes=2).share)
    assert 1_890 <= people <= 1_900

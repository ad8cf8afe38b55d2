"""Bad signatures by source: so many a minute, each source for itself, in memory that does not grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_runtime.http.rates import Rates, source_of


def answered(limit: Rates, times: list[float], source: str = "192.0.2.1") -> list[float]:
    return [now for now in times if limit.note(source, now) is None]


def test_so_many_in_a_burst_are_answered_and_the_rest_must_wait() -> None:
    assert len(answered(Rates(60), [0.0] * 100)) == 60


def test_the_wait_that_is_told_is_enough_and_not_too_long() -> None:
    limit = Rates(60)
    answered(limit, [0.0] * 100)
    wait = limit.wait("192.0.2.1", 0.0)
    assert wait is not None
    assert 0.99 < wait < 1.01
    assert limit.wait("192.0.2.1", wait - 0.1) is not None
    assert limit.wait("192.0.2.1", wait) is None


def test_who_goes_on_and_on_is_answered_at_the_rate_and_free_after_a_minute() -> None:
    limit = Rates(60)
    assert 658 <= len(answered(limit, [tenth / 10 for tenth in range(6_000)])) <= 662
    assert len(answered(limit, [700.0] * 100)) == 60


def test_each_source_counts_for_itself() -> None:
    limit = Rates(1)
    assert [limit.note(source, 0) is None for source in ("a", "b", "a", "b", "c")] == [True, True, False, False, True]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 120)), max_size=200))
def test_memory_is_bounded(attempts: list[tuple[int, int]]) -> None:
    limit = Rates(10, sources_most=7)
    for source, now in sorted(attempts, key=lambda attempt: attempt[1]):
        limit.note(str(source), now)
        assert len(limit) <= 7


def test_who_was_quiet_is_forgotten() -> None:
    limit = Rates(10)
    for source in range(1_000):
        limit.note(str(source), 0)
    limit.note("another", 100)
    assert len(limit) == 1


@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "nonsense", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7,", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", None, "192.0.2.1"),
        (None, None, "unknown"),
    ],
)
def test_where_a_request_came_from(peer: str | None, forwarded: str | None, source: str) -> None:
    assert source_of(peer, forwarded) == source


@given(st.text(), st.text())
def test_whatever_a_header_says_there_is_a_source(peer: str, forwarded: str) -> None:
    assert source_of(peer, forwarded)

"""Cursors: what clients are given, what they give back, and what they have missed."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_runtime.feed.cursor import Cursor, Place, UnknownCursor, is_ahead, moved, opened, sealed, why_reset

KEY = bytes(range(32))
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEPT = timedelta(days=7)

places: st.SearchStrategy[Place] = st.tuples(st.sampled_from(["messages.v1", "beside", "a.topic"]), st.integers(0, 300))
reached = st.dictionaries(places, st.integers(0, 2**63 - 1), max_size=30)
moments = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@settings(max_examples=examples(300))
@given(moments, reached)
def test_a_cursor_comes_back_as_it_was_given(at: datetime, offsets: Mapping[Place, int]) -> None:
    text = sealed(Cursor(at, offsets), KEY, "shop")
    assert opened(text, KEY, "shop") == Cursor(at, offsets)
    assert sealed(Cursor(at, offsets), KEY, "shop") == text


@settings(max_examples=examples(200))
@given(reached, st.data())
def test_a_cursor_that_was_changed_is_none_of_ours(offsets: Mapping[Place, int], data: st.DataObject) -> None:
    text = sealed(Cursor(NOW, offsets), KEY, "shop")
    at = data.draw(st.integers(0, len(text) - 2))
    other = data.draw(st.sampled_from("ABCDEFGHabcdefgh0123456789-_").filter(lambda letter: letter != text[at]))
    with pytest.raises(UnknownCursor):
        opened(text[:at] + other + text[at + 1 :], KEY, "shop")


@given(st.text(max_size=200))
def test_what_is_no_cursor_is_unknown_whatever_it_is(text: str) -> None:
    with pytest.raises(UnknownCursor):
        opened(text, KEY, "shop")


def test_a_cursor_is_of_one_organisation_and_one_epoch_and_tells_nobody_offsets() -> None:
    text = sealed(Cursor(NOW, {("messages.v1", 3): 123_456}), KEY, "shop")
    for key, org_id in ((KEY, "another"), (bytes(32), "shop")):
        with pytest.raises(UnknownCursor):
            opened(text, key, org_id)
    assert sealed(Cursor(NOW, {("messages.v1", 3): 123_457}), KEY, "shop")[:20] != text[:20]
    with pytest.raises(UnknownCursor):
        opened("A" * 5_000, KEY, "shop")


@pytest.mark.parametrize(
    ("away", "outcome"),
    [(timedelta(seconds=2), None), (timedelta(hours=2), None), (timedelta(days=8), "expired")],
)
def test_who_was_offline_resumes_unless_changes_of_then_are_gone(away: timedelta, outcome: str | None) -> None:
    now = Cursor(NOW, {("messages.v1", 0): 500})
    assert why_reset(Cursor(NOW - away, {("messages.v1", 0): 5}), now, KEPT) == outcome


def test_a_cursor_beyond_the_tables_is_of_another_epoch() -> None:
    restored = Cursor(NOW, {("messages.v1", 0): 90, ("messages.v1", 1): 80})
    assert why_reset(Cursor(NOW, {("messages.v1", 0): 90, ("messages.v1", 1): 81}), restored, KEPT) == "epoch"
    assert why_reset(Cursor(NOW, {("messages.v1", 7): 1}), restored, KEPT) == "epoch"
    assert why_reset(Cursor(NOW, {("messages.v1", 0): 90}), restored, KEPT) is None


@settings(max_examples=examples(200))
@given(st.lists(st.dictionaries(st.integers(0, 3), st.integers(1, 5), min_size=1), max_size=12), st.data())
def test_nothing_is_missed_and_nothing_told_twice_wherever_one_was_cut_off(
    commits: list[dict[int, int]], data: st.DataObject
) -> None:
    """Transactions of several partitions, each with how many records it brings of which; one of them names a change.

    In whatever order the partitions commit, a client sees a prefix of the transactions.
    """
    positions: list[dict[Place, int]] = [{}]
    marks: list[tuple[Place, int]] = []
    for commit in commits:
        after = dict(positions[-1])
        for partition, records in commit.items():
            after["messages.v1", partition] = after.get(("messages.v1", partition), 0) + records
        positions.append(after)
        named = ("messages.v1", data.draw(st.sampled_from(sorted(commit))))
        marks.append((named, after[named] - data.draw(st.integers(1, commit[named[1]]))))
    since = data.draw(st.integers(0, len(commits)))
    until = data.draw(st.integers(since, len(commits)))
    between = moved(positions[since], positions[until])
    found = [
        number
        for number, (place, offset) in enumerate(marks)
        if place in between and between[place][0] <= offset < between[place][1]
    ]
    assert found == list(range(since, until))
    assert is_ahead(positions[until], positions[since]) is bool(between)

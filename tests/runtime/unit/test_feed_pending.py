"""What somebody who reads slowly has still to be told: each thing once, and no more than is bounded."""

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_runtime.feed.pending import NO_PARTS, PARTS_MOST, SUBJECTS_MOST, Parts, Pending, few, joined

some_parts: st.SearchStrategy[Parts] = st.none() | st.frozensets(st.integers(0, 60).map(str), max_size=PARTS_MOST)
changes = st.lists(st.tuples(st.sampled_from("abcdef"), some_parts), max_size=40)


@settings(max_examples=examples(200))
@given(some_parts, some_parts, some_parts)
def test_joining_changes_is_in_any_order_and_never_loses_one(one: Parts, two: Parts, three: Parts) -> None:
    assert joined(one, joined(two, three)) == joined(joined(one, two), three)
    assert joined(one, two) == joined(two, one)
    assert joined(one, one) == one == joined(one, NO_PARTS)
    both = joined(one, two)
    assert both is None or (one is not None and two is not None and both == one | two)


@settings(max_examples=examples(200))
@given(changes, st.data())
def test_whatever_is_taken_between_everything_that_changed_is_told_after_it_did(
    changed: list[tuple[str, Parts]], data: st.DataObject
) -> None:
    pending = Pending()
    told: dict[str, Parts] = {}
    expected: dict[str, Parts] = {}
    for subject, parts in changed:
        pending.add(subject, parts)
        expected[subject] = joined(expected.get(subject, NO_PARTS), parts)
        if data.draw(st.booleans()):
            first = next(iter(pending))
            taken = pending.take(first)
            if data.draw(st.booleans()):
                pending.put_back({first: taken})
                assert next(iter(pending)) == first
            else:
                told[first] = joined(told.get(first, NO_PARTS), taken)
    for subject in list(pending):
        told[subject] = joined(told.get(subject, NO_PARTS), pending.take(subject))
    assert told == expected
    assert len(pending) == 0


def test_a_hundred_thousand_changes_of_few_conversations_are_few_names() -> None:
    pending = Pending()
    pending.add_all((f"conversation {number % 300}", frozenset((str(number),))) for number in range(100_000))
    assert len(pending) == 300
    assert not pending.is_too_much
    assert {pending.take(subject) for subject in list(pending)} == {None}


def test_whoever_is_too_far_behind_is_known_to_be() -> None:
    pending = Pending()
    pending.add_all((str(number), NO_PARTS) for number in range(SUBJECTS_MOST))
    assert not pending.is_too_much
    pending.add("one more", NO_PARTS)
    assert pending.is_too_much
    pending.clear()
    assert not pending.is_too_much


def test_few_parts_are_named_and_many_are_not() -> None:
    assert few([str(number) for number in range(PARTS_MOST)]) is not None
    assert few([str(number) for number in range(PARTS_MOST + 1)]) is None
    assert few(None) is None

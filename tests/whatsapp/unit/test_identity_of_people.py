"""Persons, held against a reference that walks through all evidence in the order of time."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from naive_people import NaivePeople
from profiles import examples
from wabus_whatsapp.identity import Became, Evidence, Moved, People, Same, Seen, Together

START = datetime(2026, 11, 20, tzinfo=UTC)
NUMBERS, USERS = ("1", "2", "3"), ("US.1", "US.2", "US.3", "US.4")

moments = st.integers(0, 8).map(lambda seconds: START + timedelta(seconds=seconds))
numbers, users = st.sampled_from(NUMBERS), st.sampled_from(USERS)
pairs_of_numbers = st.permutations(NUMBERS)


def moved(at: datetime, two: list[str]) -> Moved:
    return Moved(at, two[0], to_number=two[1])


def same(at: datetime, two: list[str]) -> Same:
    return Same(at, two[0], two[1])


evidence = st.one_of(
    st.builds(Together, moments, numbers, users),
    st.builds(Together, moments, numbers, users),
    st.builds(Became, moments, users, users),
    st.builds(moved, moments, pairs_of_numbers),
    st.builds(Moved, moments, numbers, to_user=users),
    st.builds(same, moments, pairs_of_numbers),
)
sightings = st.dictionaries(st.sampled_from(NUMBERS + USERS), moments)


def seen(found: dict[str, datetime]) -> dict[str, Seen]:
    return {identifier: Seen(at, identifier in USERS) for identifier, at in found.items()}


@settings(max_examples=examples(2_000))
@given(st.lists(evidence, max_size=8), sightings, st.randoms(use_true_random=False))
def test_everybody_is_who_meta_says_whatever_came_first(
    found: list[Evidence], sighted: dict[str, datetime], order: Random
) -> None:
    shuffled = [*found, *found[:3]]
    order.shuffle(shuffled)

    people, naive = People(shuffled, seen(sighted)), NaivePeople(found, seen(sighted))

    assert set(people) == set(naive.seen)
    for identifier in people:
        for second in range(-1, 10):
            at = START + timedelta(seconds=second)
            assert people.holder(identifier, at) == naive.holder(identifier, at), (identifier, second)


@settings(max_examples=examples(300))
@given(st.lists(evidence, max_size=8), sightings)
def test_every_person_has_one_name_and_it_is_an_identifier_of_theirs(
    found: list[Evidence], sighted: dict[str, datetime]
) -> None:
    people = People(found, seen(sighted))

    for identifier in people:
        name = people.first(identifier)
        assert people.first(name) == name
        assert people.first_seen(name) <= people.first_seen(identifier)


def test_a_number_that_was_passed_on_is_known_as_such() -> None:
    people = People([Together(START, "1", "US.1"), Together(START, "1", "US.2"), Together(START, "2", "US.1")], {})

    assert people.passed_on("1")
    assert not people.passed_on("2")

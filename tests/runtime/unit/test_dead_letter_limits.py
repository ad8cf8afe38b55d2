"""What may be set aside of each organisation, and when a consumer stops: never for the sake of a few of them."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events.subscriber.policy import WINDOW
from wabus_runtime.kafka.dead_letter_limits import FEW, Admission, DeadLetterLimits

ASIDE, SKIPPED, STOP = Admission.ASIDE, Admission.SKIPPED, Admission.STOP
ORGANISATIONS = [f"org-{number}" for number in range(20)]


def admitted(limits: DeadLetterLimits, organisation: str | None, count: int, now: float = 0) -> Counter[Admission]:
    return Counter(limits.admit(organisation, now) for _ in range(count))


def test_one_organisation_has_so_many_set_aside_and_the_rest_is_skipped() -> None:
    limits = DeadLetterLimits(allowed=5, max_share=0.1)
    assert admitted(limits, "a", 10_000) == {ASIDE: 5, SKIPPED: 9_995}


def test_what_one_organisation_has_used_up_is_there_for_the_others() -> None:
    limits = DeadLetterLimits(allowed=5, max_share=0.1)
    admitted(limits, "a", 10_000)
    for other in ("b", "c", None):
        assert admitted(limits, other, 6) == {ASIDE: 5, SKIPPED: 1}


def test_a_busy_organisation_may_set_aside_a_small_share_of_its_own_records() -> None:
    limits = DeadLetterLimits(allowed=5, max_share=0.1)
    limits.handled(["a"] * 900 + ["b"] * 9_000, 0)
    assert admitted(limits, "a", 200)[ASIDE] == 100
    assert admitted(limits, "a", 200, WINDOW + 1) == {ASIDE: 5, SKIPPED: 195}


def test_bad_records_of_many_organisations_stop_the_consumer() -> None:
    limits = DeadLetterLimits(allowed=5, max_share=0.1)
    found = [limits.admit(organisation, 0) for organisation in ORGANISATIONS * 3]
    assert found.index(STOP) <= len(ORGANISATIONS) + FEW


def test_many_organisations_with_few_bad_records_among_many_good_ones_stop_nothing() -> None:
    limits = DeadLetterLimits(allowed=5, max_share=0.1)
    limits.handled(ORGANISATIONS * 100, 0)
    assert {limits.admit(organisation, 0) for organisation in ORGANISATIONS * 5} == {ASIDE}


def test_what_is_older_than_the_window_counts_no_more() -> None:
    limits = DeadLetterLimits(allowed=5, max_share=0)
    assert admitted(limits, "a", 9, 0)[ASIDE] == 5
    assert admitted(limits, "a", 9, WINDOW + 1)[ASIDE] == 5


@settings(max_examples=examples(300))
@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(1, 200)), max_size=60),
    st.sets(st.integers(0, 30), max_size=FEW),
)
def test_no_few_organisations_ever_stop_a_consumer_or_take_what_is_anothers(
    steps: list[tuple[int, bool, int]], hostile: set[int]
) -> None:
    limits, aside = DeadLetterLimits(allowed=5, max_share=0.1), Counter[int]()
    read = Counter[int]()
    for second, (who, is_bad, count) in enumerate(steps):
        read[who] += count
        if who not in hostile or not is_bad:
            limits.handled([str(who)] * count, second)
            continue
        found = admitted(limits, str(who), count, second)
        assert STOP not in found
        aside[who] += found[ASIDE]
        assert aside[who] <= max(5, 0.1 * read[who])


def test_memory_does_not_grow_with_what_is_read_or_with_who_has_gone() -> None:
    limits = DeadLetterLimits(allowed=5, max_share=0.1)
    for second in range(20_000):
        limits.handled([f"org-{second // 100}"] * 10, second)
        limits.admit("a", second)
    assert len(limits) <= WINDOW / 100 + 3
    assert len(limits._slices) <= 12  # pyright: ignore[reportPrivateUsage]

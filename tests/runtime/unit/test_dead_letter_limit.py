"""How much a consumer may set aside: a quiet topic's few, a busy topic's small share, never a whole topic."""

import pickle

from wabus_events.subscriber.policy import WINDOW, DeadLetterLimit


def admitted(limit: DeadLetterLimit, count: int, now: float = 0) -> int:
    return sum(limit.admits(now) for _ in range(count))


def test_a_quiet_topic_may_set_aside_a_few_whatever_their_share() -> None:
    assert admitted(DeadLetterLimit(allowed=5, max_share=0.1), 9) == 5


def test_a_busy_topic_may_set_aside_a_small_share() -> None:
    limit = DeadLetterLimit(allowed=5, max_share=0.1)
    limit.handled(900, 0)
    assert admitted(limit, 500) == 100


def test_the_share_is_of_what_was_read_in_the_window() -> None:
    limit = DeadLetterLimit(allowed=5, max_share=0.1)
    limit.handled(9_000, 0)
    assert admitted(limit, 500, WINDOW - 1) == 500
    assert admitted(limit, 500, WINDOW + 1) == 0


def test_what_is_older_than_the_window_counts_no_more() -> None:
    limit = DeadLetterLimit(allowed=5, max_share=0)
    assert admitted(limit, 9, 0) == 5
    assert admitted(limit, 9, WINDOW + 1) == 5


def test_memory_does_not_grow_with_what_is_read() -> None:
    limit = DeadLetterLimit(allowed=5, max_share=0.1)
    sizes: list[int] = []
    for second in range(100_000):
        limit.handled(1_000, second)
        if second % 10_000 == 5_000:
            sizes.append(len(pickle.dumps(limit)))
    assert max(sizes) < 2 * min(sizes)

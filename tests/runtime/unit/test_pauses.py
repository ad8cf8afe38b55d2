"""Pauses between attempts."""

from itertools import islice

from wabus_runtime.pauses import growing_pauses


def test_pauses_grow_to_a_limit_and_differ_for_those_who_failed_together() -> None:
    many = [list(islice(growing_pauses(0.5, 4), 6)) for _ in range(50)]
    for number, longest in enumerate((0.5, 1, 2, 4, 4, 4)):
        drawn = [pauses[number] for pauses in many]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest

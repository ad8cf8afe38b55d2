"""The quick histogram counts as the plain one does."""

import random

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from wabus_runtime.observe.timings import Timings

BOUNDS = (0.001, 0.01, 0.1, 1)


def test_a_quick_histogram_shows_what_a_plain_one_shows() -> None:
    chance = random.Random(3)
    seconds = [*BOUNDS, 0.0, 100.0, *(chance.expovariate(20) for _ in range(300))]
    shown: list[list[bytes]] = []
    for kind in (Timings, Histogram):
        registry = CollectorRegistry()
        timed = kind("timed", "Timed.", ["what"], buckets=BOUNDS, registry=registry)
        for each in seconds:
            timed.labels("a").observe(each)
        lines = generate_latest(registry).splitlines()
        shown.append([line for line in lines if b"_created" not in line])
    assert shown[0] == shown[1]
    assert len(shown[0]) > len(BOUNDS)

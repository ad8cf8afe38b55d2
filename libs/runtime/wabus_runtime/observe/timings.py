"""A histogram for what happens thousands of times a second."""

from bisect import bisect_left
from typing import Any

from prometheus_client import Histogram


class Timings(Histogram):
    """prometheus_client's histogram, but that the bucket is found by bisection.

    The original looks at one bound after the other, in Python: 5 µs for what takes 20 ms, and a webhook has three such
    timings. Where it has labels, observe what `labels` returns: nothing here would say that they were left out.
    """

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Count a duration, in seconds. Exemplars are not kept."""
        inner: Any = self
        inner._sum.inc(amount)
        inner._buckets[bisect_left(inner._upper_bounds, amount)].inc(1)

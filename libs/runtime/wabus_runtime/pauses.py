"""How long whatever failed waits until it tries again."""

import random
from collections.abc import Iterator


def growing_pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait before each further attempt, without end: twice as many each time, up to `longest`.

    Each is cut by up to a half at random, so that those who failed together do not come back together. Who succeeds
    begins with new ones.
    """
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311
        pause = min(2 * pause, longest)

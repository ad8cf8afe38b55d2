"""How many examples hypothesis draws, and which: HYPOTHESIS_PROFILE, one of `PROFILES`."""

import os

from hypothesis import settings

PROFILES = {"unit": 0.1, "ci": 1.0, "chaos": 3.0}
"""The share of the examples that a test asks for. `chaos` draws others each time; what the rest draw never changes, so
that no test fails by chance."""
EXAMPLES = 100  # of a test that says nothing
FEWEST = 10
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "unit")


def examples(many: int) -> int:
    """For `max_examples`: how many of `many` the profile draws."""
    return max(FEWEST, round(many * PROFILES[PROFILE]))


def load_profile() -> None:
    """No deadline for an example: machines are shared, and slowness is for the benchmarks to find."""
    settings.register_profile(
        "wabus", deadline=None, max_examples=examples(EXAMPLES), derandomize=PROFILE != "chaos", database=None
    )
    settings.load_profile("wabus")

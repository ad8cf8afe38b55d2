"""Does the time of a signature check tell where a forged signature differs? Two classes, Welch's t-test (as dudect).

Class A differs from the true digest in the first byte, class B in the last; they take turns in random order. |t| below
4.5 means that this many measurements show no difference (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant
time?"). A comparison that stops at the first difference is measured beside ours, so that the test is seen to see.
"""

import hashlib
import hmac
import random
import statistics
import sys
import time
from collections.abc import Callable

from wabus_gateway.webhooks.signature import is_signed

MEASUREMENTS = 40_000  # of each class
CALLS = 20  # in one measurement
KEPT = 0.9  # of the measurements, the fastest: the rest is the machine's other business
SECRET, BODY = b"an-app-secret", b"x" * 826

Check = Callable[[str], bool]


def ours(signature: str) -> bool:
    return is_signed(BODY, signature, [SECRET])


def naive(signature: str) -> bool:
    """What must be found: byte after byte until one differs."""
    digest = hmac.digest(SECRET, BODY, "sha256").hex()
    return all(one == other for one, other in zip(digest, signature.removeprefix("sha256="), strict=True))


def t_value(check: Check) -> float:
    """Welch's t between the classes' times."""
    genuine = bytearray(hmac.digest(SECRET, BODY, hashlib.sha256))
    classes: list[str] = []
    for place in (0, 31):
        forged = genuine.copy()
        forged[place] ^= 0xFF
        classes.append(f"sha256={forged.hex()}")
    times: tuple[list[int], list[int]] = [], []
    order = [number % 2 for number in range(2 * MEASUREMENTS)]
    random.shuffle(order)
    for kind in order:
        signature = classes[kind]
        started = time.perf_counter_ns()
        for _ in range(CALLS):
            check(signature)
        times[kind].append(time.perf_counter_ns() - started)
    limit = statistics.quantiles(times[0] + times[1], n=100)[int(KEPT * 100) - 1]
    first, last = ([one for one in some if one <= limit] for some in times)
    spread = statistics.variance(first) / len(first) + statistics.variance(last) / len(last)
    return (statistics.mean(last) - statistics.mean(first)) / spread**0.5


def main() -> int:
    print("check    |t|")
    found = {check.__name__: abs(t_value(check)) for check in (ours, naive)}
    for name, t in found.items():
        print(f"{name:8} {t:.1f}")
    return 0 if found["ours"] < 4.5 < found["naive"] else 1


if __name__ == "__main__":
    sys.exit(main())

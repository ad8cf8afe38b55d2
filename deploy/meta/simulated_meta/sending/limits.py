"""How much may be sent: a number's throughput and the rate of a pair. The caller gives the time. No I/O.

Sources: "Throughput" (80 messages a second, 1,000 after an upgrade, 20 in coexistence; what comes in counts as well;
130429), "Pair rate limits" (one message in 6 s to one person; up to 45 within 6 s are borrowed from the future, and the
time that they would have taken must pass before the next one; 131056).
"""

from collections import deque
from dataclasses import dataclass, field

STANDARD, HIGH, COEXISTENCE = 80, 1000, 20  # messages a second
PAIR_SECONDS = 6.0
PAIR_BURST = 45
PAIRS_KEPT = 100_000  # at least, before those that owe nothing are forgotten


def level(throughput: str, is_on_biz_app: bool) -> int:
    """Messages a second of a number, by its `throughput` and whether it is in the WhatsApp Business app too."""
    if is_on_biz_app:
        return COEXISTENCE
    return HIGH if throughput == "HIGH" else STANDARD


@dataclass(slots=True)
class Throughput:
    """What went through a number within the last second, in and out."""

    moments: deque[float] = field(default_factory=deque[float])
    violations: int = 0
    highest: int = 0
    """The most that went through in any one second."""

    def has_room(self, now: float, limit: int) -> bool:
        """Whether one more may go through now; it is a violation if not."""
        self._forget(now)
        if len(self.moments) < limit:
            return True
        self.violations += 1
        return False

    def passed(self, now: float) -> None:
        """One more went through."""
        self._forget(now)
        self.moments.append(now)
        self.highest = max(self.highest, len(self.moments))

    def _forget(self, now: float) -> None:
        while self.moments and self.moments[0] <= now - 1:
            self.moments.popleft()


@dataclass(slots=True)
class Pair:
    """What was sent to one person: a burst, and until when it is paid."""

    began: float = float("-inf")
    count: int = 0

    def takes(self, now: float) -> bool:
        if now >= self.began + self.count * PAIR_SECONDS:
            self.began, self.count = now, 1
            return True
        if now < self.began + PAIR_SECONDS and self.count < PAIR_BURST:
            self.count += 1
            return True
        return False

    def is_paid(self, now: float) -> bool:
        return now >= self.began + self.count * PAIR_SECONDS


@dataclass(slots=True)
class Limits:
    numbers: dict[str, Throughput] = field(default_factory=dict[str, Throughput])
    pairs: dict[tuple[str, str], Pair] = field(default_factory=dict[tuple[str, str], Pair])
    pair_violations: int = 0
    sweep_at: int = PAIRS_KEPT

    def number(self, phone_number_id: str) -> Throughput:
        return self.numbers.setdefault(phone_number_id, Throughput())

    def takes_pair(self, phone_number_id: str, person: str, now: float) -> bool:
        key = (phone_number_id, person)
        pair = self.pairs.get(key)
        if pair is None:
            if len(self.pairs) >= self.sweep_at:
                self.pairs = {each: kept for each, kept in self.pairs.items() if not kept.is_paid(now)}
                self.sweep_at = max(PAIRS_KEPT, 2 * len(self.pairs))
            pair = self.pairs[key] = Pair()
        if pair.takes(now):
            return True
        self.pair_violations += 1
        return False

"""When not to call Graph: an account close to its rate limit rests, and during an outage of Meta only probes go out.
What Graph refused to tell is not asked for again soon.

Pure: the time (seconds of a monotonic clock) is an argument. Sources: Meta's "Rate limits" (Graph API, WhatsApp
Business Platform); M. Nygard, "Release It!", circuit breaker.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wabus_whatsapp.graph_errors import Usage

NEARLY_USED = 80.0  # percent of a rate limit from which on calls are spread out
SLOWEST = 10.0  # seconds between two calls of an account when the limit is all used
ACCOUNTS_KEPT = 10_000

OPEN_AFTER = 6  # failures in a row, of at least two accounts
OPEN_AFTER_ALONE = 20  # failures in a row, if all are one account's
COOL_DOWN = 2.0  # seconds before the first probe; twice as long after each that fails
COOL_DOWN_MAX = 60.0
REFUSED_FOR = 24 * 3600.0  # seconds in which a field that Graph refused is not asked for
PROBE_TIMEOUT = 45.0  # seconds after which a probe that nobody reported on counts as lost


def pause_after(used: Usage) -> float:
    """Seconds to wait before the next call so that the limit is not reached: none until `NEARLY_USED`, then growing."""
    over = min(used.percent, 100.0) - NEARLY_USED
    return max(0.0, over / (100.0 - NEARLY_USED) * SLOWEST)


@dataclass(slots=True)
class Pace:
    """How soon each account may be called again. One account's limit says nothing about another's."""

    _resting: dict[str, float] = field(default_factory=dict[str, float])
    """Until when Graph refuses the account's calls; "" for those of every account."""
    _slow: dict[str, float] = field(default_factory=dict[str, float])
    """When the account's next call is welcome."""

    def refused_for(self, account: str, now: float) -> float:
        """Seconds for which a call would be refused."""
        return max(0.0, self._resting.get(account, 0.0) - now, self._resting.get("", 0.0) - now)

    def slowed_for(self, account: str, now: float) -> float:
        """Seconds that the next call should wait so that the limit is not reached. Takes the turn."""
        ready = self._slow.pop(account, 0.0)
        return max(0.0, ready - now)

    def used(self, account: str, usage: Usage, now: float) -> None:
        """Note what Graph said about the account's limit."""
        if pause := pause_after(usage):
            self._slow[account] = now + pause
            _forget(self._slow, now)

    def limited(self, account: str, seconds: float, now: float) -> None:
        """Note that Graph refuses the account's calls for so long; with "" those of every account."""
        self._resting[account] = max(self._resting.get(account, 0.0), now + seconds)
        _forget(self._resting, now)


@dataclass(slots=True)
class Breaker:
    """Shared by all accounts: open while Meta itself is out of order, then one probe at a time."""

    _failures: int = 0
    _accounts: set[str] = field(default_factory=set[str])
    _retry_at: float | None = None
    _cool_down: float = COOL_DOWN
    _probing: bool = False

    @property
    def is_open(self) -> bool:
        return self._retry_at is not None

    def refuses_for(self, now: float) -> float | None:
        """Seconds until it is worth trying again, or None if this call may go; while open, such a call is the probe."""
        if self._retry_at is None:
            return None
        if now < self._retry_at:
            return self._retry_at - now
        self._retry_at, self._probing = now + PROBE_TIMEOUT, True
        return None

    def succeeded(self) -> None:
        """Graph answered something sensible, be it a refusal."""
        self._failures, self._retry_at, self._cool_down, self._probing = 0, None, COOL_DOWN, False
        self._accounts.clear()

    def failed(self, account: str, now: float) -> None:
        """Graph did not answer, or only that it is out of order."""
        if self._probing:
            self._cool_down = min(self._cool_down * 2, COOL_DOWN_MAX)
            self._retry_at, self._probing = now + self._cool_down, False
        if self._retry_at is not None:
            return  # a call that was under way when the breaker opened
        self._failures += 1
        self._accounts.add(account)
        if self._failures >= (OPEN_AFTER if len(self._accounts) > 1 else OPEN_AFTER_ALONE):
            self._retry_at = now + self._cool_down


@dataclass(slots=True)
class RefusedFields:
    """Fields that Graph did not tell: of a kind of object, for its version has none of that name, or of one account."""

    _until: dict[str, float] = field(default_factory=dict[str, float])

    def without(self, kind: str, account: str, fields: Sequence[str], now: float) -> list[str]:
        """Those of the fields that are worth asking for."""
        return [
            name
            for name in fields
            if max(self._until.get(f"{kind} {name}", 0.0), self._until.get(f"{kind} {name} {account}", 0.0)) <= now
        ]

    def unknown(self, kind: str, name: str, now: float) -> None:
        self._until[f"{kind} {name}"] = now + REFUSED_FOR

    def refused(self, kind: str, account: str, name: str, now: float) -> None:
        _forget(self._until, now)
        self._until[f"{kind} {name} {account}"] = now + REFUSED_FOR


def _forget(times: dict[str, float], now: float) -> None:
    """Keep memory bounded: what is past has no effect."""
    if len(times) > ACCOUNTS_KEPT:
        for account in [account for account, until in times.items() if until <= now]:
            del times[account]

"""What goes wrong at the simulated Graph on demand: latency, failures, rate limits; and what was called. Not kept."""

import random
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from simulated_meta.graph.errors import GraphError, rate_limited

CALLS_AN_HOUR = 5000  # for each app and WABA with a phone number; see "Rate limits" (WhatsApp Business Platform)
CALLS_KEPT = 2000


Answer = Literal["json", "html", "truncated", "empty", "cut", "half", "hang"]
ANSWERS: tuple[str, ...] = get_args(Answer)


@dataclass
class Failure:
    """The next `times` calls whose path contains `path` fail: each of them, or a `share` of them by `seed`.

    `body` is what is answered: Graph's error as JSON; html, truncated and empty are no JSON; cut closes the connection
    without a byte, half after the header and half the body, hang after `seconds`.
    """

    times: int
    status: int = 500
    code: int = 1
    subcode: int | None = None
    message: str = "An unknown error has occurred."
    body: Answer = "json"
    path: str = ""
    method: str = ""
    taken: bool | None = None
    """Whether the call does its work all the same. Unless it is given, it does where Graph's JSON is not answered."""
    share: float = 1.0
    seed: int = 1
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.body not in ANSWERS:
            raise ValueError(f"body is one of {', '.join(ANSWERS)}")
        if self.body == "json" and self.taken:
            raise ValueError("an error that Graph answers itself says that nothing was done")
        self._chance = random.Random(self.seed)  # noqa: S311

    @property
    def does_its_work(self) -> bool:
        return self.body != "json" if self.taken is None else self.taken

    def strikes(self, method: str, path: str) -> bool:
        if self.times <= 0 or self.path not in path or self.method not in ("", method):
            return False
        if self.share < 1 and self._chance.random() >= self.share:
            return False
        self.times -= 1
        return True

    def error(self) -> GraphError:
        return GraphError(
            self.message, self.code, status=self.status, subcode=self.subcode, transient=self.code in (1, 2)
        )


@dataclass
class Limit:
    """After `calls_left` more calls, further ones fail until `until` (Unix seconds)."""

    calls_left: int
    minutes: float
    code: int = 80008
    until: float = 0


@dataclass
class Call:
    at: float
    method: str
    path: str
    status: int


@dataclass
class Faults:
    latency_ms: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])
    limits: dict[str, Limit] = field(default_factory=dict[str, Limit])
    """By WABA id; `*` for every call."""
    calls: deque[Call] = field(default_factory=lambda: deque[Call](maxlen=CALLS_KEPT))
    calls_an_hour: int = CALLS_AN_HOUR
    used: dict[str, deque[float]] = field(default_factory=dict[str, deque[float]])

    def next_failure(self, path: str, method: str = "GET") -> Failure | None:
        return next((failure for failure in self.failures if failure.strikes(method, path)), None)

    def count(self, waba_id: str | None, *, by_the_hour: bool = True) -> None:
        """Count one call. Raises GraphError when a limit is reached."""
        now = time.time()
        for key in ("*", waba_id):
            limit = self.limits.get(key) if key else None
            if limit is None:
                continue
            if limit.until and now >= limit.until:
                del self.limits[str(key)]
                continue
            if limit.calls_left <= 0:
                limit.until = limit.until or now + limit.minutes * 60
                raise rate_limited(limit.code)
            limit.calls_left -= 1
        if waba_id and by_the_hour:
            used = self.used.setdefault(waba_id, deque())
            while used and used[0] < now - 3600:
                used.popleft()
            if len(used) >= self.calls_an_hour:
                raise rate_limited()
            used.append(now)

    def minutes_to_regain(self, waba_id: str | None) -> int:
        now = time.time()
        limits = [self.limits[key] for key in ("*", waba_id) if key in self.limits]
        waits = [limit.until - now for limit in limits if limit.until > now]
        return max(1, round(max(waits) / 60)) if waits else 0

    def usage(self, waba_id: str | None) -> tuple[int, int]:
        """Calls used and allowed in this hour."""
        if self.minutes_to_regain(waba_id):
            return self.calls_an_hour, self.calls_an_hour
        return len(self.used.get(waba_id or "", ())), self.calls_an_hour

    def as_json(self) -> dict[str, Any]:
        return {
            "latency_ms": self.latency_ms,
            "failures": [asdict(failure) for failure in self.failures if failure.times > 0],
            "limits": {key: vars(limit) for key, limit in self.limits.items()},
            "calls_an_hour": self.calls_an_hour,
        }

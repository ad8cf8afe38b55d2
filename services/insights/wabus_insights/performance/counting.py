"""What messages count for: by template, version, number, country, hour and day in which Meta has taken them. Pure.

The hour is that of acceptance, whenever a status comes: so each rate is of one cohort, and none exceeds 100 %. What a
message counts for is a function of the message alone; as it changes, the former share is taken away and the new one is
added (`Tally.change`), so counts are at any moment the sums over all messages.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from math import log
from typing import NamedTuple

from wabus_insights.performance.message import WAS_READ, Bit, Message, has_come, is_lost

COUNTS = ("accepted", "sent", "delivered", "read", "played", "failed", "replied", "clicked", "stopped")
"""What is counted, in the order of `Share.counts`. Each of the first five is a part of the one before it; `failed` is
accepted and not delivered; replies, clicks and stops are parts of `delivered`, for who has not got a message does not
answer it."""

READ_BUCKETS = 32
_RATIO = 1.55
"""Between two bounds: from a second up, the last bucket begins at nine days, the longest that a message is known."""


class Cohort(NamedTuple):
    """Messages that are counted together."""

    org_id: str
    waba_id: str
    template_id: str
    version: int
    phone_number_id: str
    country: str
    hour: datetime
    """Of acceptance, UTC."""
    day: date
    """Of the same moment, by the clocks of the account's place: an hour may be of two days."""


class Share(NamedTuple):
    """What one message counts for."""

    cohort: Cohort
    counts: tuple[int, ...]
    failed_code: int | None
    """The code of the failure, if it counts as failed."""
    read_bucket: int | None
    """How long it took to be read (`read_bucket`), if it was."""


def share(message: Message) -> Share | None:
    """What a message counts for; None for what is no template, and while nobody has told that Meta has taken it."""
    cohort = _cohort(message)
    return Share(cohort, _COUNTED[message.bits], _failed_code(message), _read_bucket(message)) if cohort else None


def _cohort(message: Message) -> Cohort | None:
    acceptance = message.acceptance
    if acceptance is None or not acceptance.template_id:
        return None
    return Cohort(
        message.org_id,
        message.waba_id,
        acceptance.template_id,
        acceptance.version,
        message.phone_number_id,
        message.place.country,
        acceptance.at.replace(minute=0, second=0, microsecond=0),
        acceptance.day or acceptance.at.date(),
    )


def _failed_code(message: Message) -> int | None:
    return message.failed_code or 0 if is_lost(message.bits) else None


def _read_bucket(message: Message) -> int | None:
    if not message.bits & WAS_READ or message.read_at is None or message.acceptance is None:
        return None
    return read_bucket(message.read_at - message.acceptance.at)


def _counted(bits: int) -> tuple[int, ...]:
    came = has_come(bits)
    return (
        1,
        int(came or bool(bits & Bit.SENT)),
        int(came),
        int(bool(bits & WAS_READ)),
        int(bool(bits & Bit.PLAYED)),
        int(is_lost(bits)),
        int(came and bool(bits & Bit.REPLIED)),
        int(bool(bits & Bit.CLICKED)),
        int(came and bool(bits & Bit.STOPPED)),
    )


_COUNTED = tuple(map(_counted, range(2 ** len(Bit))))
"""By the bits of a message: to look up takes a tenth of the time, and each message changes several times."""


def read_bucket(took: timedelta) -> int:
    """Which of the buckets of times to read: 0 is less than a second, and each spans 1.55 times the one before.

    >>> [read_bucket(timedelta(seconds=seconds)) for seconds in (-1, 0.5, 1, 60, 3600, 10**7)]
    [0, 0, 1, 10, 19, 31]
    """
    seconds = took.total_seconds()
    return 0 if seconds < 1 else min(READ_BUCKETS - 1, 1 + int(log(seconds) / log(_RATIO)))


def read_after(bucket: int) -> float:
    """The seconds after which a bucket begins."""
    return 0.0 if bucket == 0 else _RATIO ** (bucket - 1)


def read_quantile(buckets: Iterable[tuple[int, int]], quantile: float) -> float | None:
    """Seconds after which this part of those who read had read, from counts by bucket; None where nobody did.

    Within a bucket times are taken to be spread evenly by their logarithm, so it is exact to about a quarter.
    """
    counted = sorted((bucket, count) for bucket, count in buckets if count > 0)
    wanted = quantile * sum(count for _, count in counted)
    below = 0
    for bucket, count in counted:
        if below + count >= wanted:
            inside = (wanted - below) / count
            return inside if bucket == 0 else read_after(bucket) * _RATIO**inside
        below += count
    return None


class Failure(NamedTuple):
    """Failures that are counted together."""

    cohort: Cohort
    code: int


class ReadTime(NamedTuple):
    """Times to read that are counted together."""

    org_id: str
    waba_id: str
    template_id: str
    version: int
    day: date
    """Of acceptance, by the clocks of the account's place."""
    utc_day: date
    """The same of UTC: what is emptied is emptied from a midnight of UTC on."""
    bucket: int


class Tally:
    """By how much counts change. What is added and taken away is gone."""

    def __init__(self) -> None:
        self._cohorts: dict[Cohort, list[int]] = {}
        self._failures: dict[Failure, int] = {}
        self._read_times: dict[ReadTime, int] = {}

    def change(self, before: Message | None, after: Message | None) -> None:
        """A message is other than it was; None where it was not there, or is gone."""
        now = after and _cohort(after)
        # Most changes leave a message where it is counted; to make and to compare cohorts takes longer than all else.
        was = now if before and after and _are_together(before, after) else before and _cohort(before)
        if was and was == now:
            self._add(was, before, after)
        else:
            if was:
                self._add(was, before, None)
            if now:
                self._add(now, None, after)

    def cohorts(self) -> list[tuple[Cohort, tuple[int, ...]]]:
        """The cohorts that change, in one order for everybody, each with by how much."""
        return [(cohort, tuple(counts)) for cohort, counts in sorted(self._cohorts.items()) if any(counts)]

    def failures(self) -> list[tuple[Failure, int]]:
        return [(failure, count) for failure, count in sorted(self._failures.items()) if count]

    def read_times(self) -> list[tuple[ReadTime, int]]:
        return [(time, count) for time, count in sorted(self._read_times.items()) if count]

    def _add(self, cohort: Cohort, before: Message | None, after: Message | None) -> None:
        known = self._cohorts.setdefault(cohort, [0] * len(COUNTS))
        for place, by in _difference(before and before.bits, after and after.bits):
            known[place] += by
        for message, sign in ((before, -1), (after, 1)):
            if message is None:
                continue
            code, bucket = _failed_code(message), _read_bucket(message)
            if code is not None:
                failure = Failure(cohort, code)
                self._failures[failure] = self._failures.get(failure, 0) + sign
            if bucket is not None:
                place = cohort.org_id, cohort.waba_id, cohort.template_id, cohort.version, cohort.day
                time = ReadTime(*place, cohort.hour.date(), bucket)
                self._read_times[time] = self._read_times.get(time, 0) + sign


def _are_together(one: Message, other: Message) -> bool:
    return one.acceptance == other.acceptance and one.place == other.place and one[1:4] == other[1:4]


@lru_cache(1_024)
def _difference(before: int | None, after: int | None) -> Sequence[tuple[int, int]]:
    """By how much which counts change as a message's bits do; None where it was not there, or is gone."""
    was, now = (_NOTHING if bits is None else _COUNTED[bits] for bits in (before, after))
    return [(place, by) for place in range(len(COUNTS)) if (by := now[place] - was[place])]


_NOTHING = (0,) * len(COUNTS)
